// The scenarios of ./dev bench sdk with the OpenTelemetry SDK for Go.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

const (
	repeats       = 5
	spans         = 200_000
	pipelineSpans = 500_000
	pacedPerSec   = 100_000
	pacedSeconds  = 3
)

// dropAtOnce takes each span on the goroutine that ended it.
type dropAtOnce struct{}

func (dropAtOnce) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (dropAtOnce) OnEnd(sdk.ReadOnlySpan)                     {}
func (dropAtOnce) Shutdown(context.Context) error             { return nil }
func (dropAtOnce) ForceFlush(context.Context) error           { return nil }

// toNowhere makes the request's bytes and throws them away.
type toNowhere struct{ exported atomic.Int64 }

func (*toNowhere) Start(context.Context) error { return nil }
func (*toNowhere) Stop(context.Context) error  { return nil }
func (t *toNowhere) UploadTraces(_ context.Context, traces []*otlp.ResourceSpans) error {
	for _, r := range traces {
		for _, s := range r.ScopeSpans {
			t.exported.Add(int64(len(s.Spans)))
		}
	}
	_, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: traces})
	return err
}

func cpu(clock int32) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		panic(err)
	}
	return t.Nano()
}

var results = map[string]float64{}

func measure(key string, turn func(i int)) {
	for i := 0; i < spans/10; i++ {
		turn(i)
	}
	all := make([]float64, repeats)
	for r := range all {
		from := cpu(unix.CLOCK_THREAD_CPUTIME_ID)
		for i := 0; i < spans; i++ {
			turn(i)
		}
		all[r] = float64(cpu(unix.CLOCK_THREAD_CPUTIME_ID)-from) / spans
	}
	sort.Float64s(all)
	results[key] = all[repeats/2]
}

type texts [4]string

var table = func() (t [1024]texts) {
	for i := range t {
		t[i] = texts{fmt.Sprint("user-", i), fmt.Sprint("/api/v1/items/", i), fmt.Sprint("10.0.0.", i), fmt.Sprint("pod-", i)}
	}
	return t
}()

func set4(s trace.Span, t *texts, i int) {
	s.SetAttributes(attribute.String("user.id", t[0]), attribute.String("http.route", t[1]),
		attribute.Int("http.response.status_code", i), attribute.String("server.address", t[2]))
}

func set10(s trace.Span, t *texts, i int) {
	set4(s, t, i)
	s.SetAttributes(attribute.String("k8s.pod.name", t[3]), attribute.String("db.namespace", t[0]), attribute.Int("server.port", 5432),
		attribute.Float64("app.ratio", float64(i)*0.5), attribute.Bool("app.cached", i&1 == 0), attribute.String("app.region", t[1]))
}

func hotPath() {
	background := context.Background()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(dropAtOnce{})).Tracer("bench")
	four := func(i int) {
		_, s := tracer.Start(background, "operation")
		set4(s, &table[i&1023], i)
		s.End()
	}
	measure("start_end", func(int) {
		_, s := tracer.Start(background, "operation")
		s.End()
	})
	measure("attributes_4", four)
	measure("attributes_10_event", func(i int) {
		_, s := tracer.Start(background, "operation")
		set10(s, &table[i&1023], i)
		s.AddEvent("cache.miss", trace.WithAttributes(attribute.String("cache.key", table[i&1023][0])))
		s.End()
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := 0; i < 10_000; i++ {
		four(i)
	}
	runtime.ReadMemStats(&after)
	results["allocations"] = float64(after.Mallocs-before.Mallocs) / 10_000

	parent, s := tracer.Start(background, "parent")
	measure("child_active", func(int) { // active is what a context is in Go
		_, child := tracer.Start(parent, "child")
		child.End()
	})
	s.End()

	propagator := propagation.TraceContext{}
	incoming := propagation.MapCarrier{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	outgoing := propagation.MapCarrier{}
	measure("extract_inject", func(int) { propagator.Inject(propagator.Extract(background, incoming), outgoing) })
}

func coldPath() {
	background := context.Background()
	off := sdk.NewTracerProvider(sdk.WithSpanProcessor(dropAtOnce{}), sdk.WithSampler(sdk.NeverSample())).Tracer("bench")
	measure("sampled_out", func(i int) {
		_, s := off.Start(background, "operation")
		set4(s, &table[i&1023], i)
		s.End()
	})
	nothing := noop.NewTracerProvider().Tracer("bench")
	measure("unconfigured", func(int) {
		_, s := nothing.Start(background, "operation")
		s.End()
	})
}

func pipeline() {
	background := context.Background()
	sink := &toNowhere{}
	exporter, err := otlptrace.New(background, sink)
	if err != nil {
		panic(err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	tracer := provider.Tracer("bench")
	four := func(i int) {
		_, s := tracer.Start(background, "operation")
		set4(s, &table[i&1023], i)
		s.End()
	}
	run := func(prefix string, count int, turns func()) {
		seen, from := sink.exported.Load(), cpu(unix.CLOCK_PROCESS_CPUTIME_ID)
		turns()
		if err := provider.ForceFlush(background); err != nil {
			panic(err)
		}
		results[prefix+"_cpu"] = float64(cpu(unix.CLOCK_PROCESS_CPUTIME_ID)-from) / float64(count)
		results[prefix+"_dropped"] = float64(int64(count) - (sink.exported.Load() - seen))
		results[prefix+"_spans"] = float64(count)
	}
	run("warm", 10_000, func() {
		for i := 0; i < 10_000; i++ {
			four(i)
		}
	})
	for _, k := range []string{"warm_cpu", "warm_dropped", "warm_spans"} {
		delete(results, k)
	}
	run("pipeline", pipelineSpans, func() {
		for i := 0; i < pipelineSpans; i++ {
			four(i)
		}
	})
	run("pipeline_2_threads", pipelineSpans, func() {
		var both sync.WaitGroup
		for t := 0; t < 2; t++ {
			both.Add(1)
			go func() {
				defer both.Done()
				for i := 0; i < pipelineSpans/2; i++ {
					four(i)
				}
			}()
		}
		both.Wait()
	})
	delete(results, "pipeline_2_threads_cpu")
	run("pipeline_paced", pacedPerSec*pacedSeconds, func() {
		started := time.Now()
		for tick := 1; tick <= pacedSeconds*1000; tick++ {
			for i := 0; i < pacedPerSec/1000; i++ {
				four(i)
			}
			time.Sleep(time.Duration(tick)*time.Millisecond - time.Since(started))
		}
	})
}

func main() {
	runtime.LockOSThread() // the thread's CPU time is the caller's
	hotPath()
	coldPath()
	pipeline()
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		panic(err)
	}
}
