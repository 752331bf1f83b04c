// Command sampler samples root spans with OpenTelemetry's Jaeger remote sampler.
//
//	sampler SAMPLING_URL SERVICE N OPERATION...            N spans of each; {"OPERATION": sampled, ...}
//	sampler SAMPLING_URL SERVICE OTLP_GRPC SECONDS OPERATION=PER_SECOND...
//	                                                       spans at a pace, sent; sampled ones of each second
//
// The operation "ready" must have a probability of 1: it tells that a strategy is in force.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/samplers/jaegerremote"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func sampled(tracer trace.Tracer, name string) bool {
	_, span := tracer.Start(context.Background(), name, trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	return span.SpanContext().IsSampled()
}

func count(tracer trace.Tracer, n int, operations []string) {
	deadline := time.Now().Add(20 * time.Second)
	for !sampled(tracer, "ready") {
		if time.Now().After(deadline) {
			log.Fatal("no strategy came within 20 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
	counts := map[string]int{}
	for _, name := range operations {
		counts[name] = 0
		for i := 0; i < n; i++ {
			if sampled(tracer, name) {
				counts[name]++
			}
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(counts)
}

func pace(tracer trace.Tracer, seconds int, operations []string) {
	const ticks = 20 // a second
	owed := make([]float64, len(operations))
	for second := 0; second < seconds; second++ {
		counts := map[string]int{}
		for tick := 0; tick < ticks; tick++ {
			next := time.Now().Add(time.Second / ticks)
			for i, one := range operations {
				name, rate, _ := strings.Cut(one, "=")
				perSecond, err := strconv.ParseFloat(rate, 64)
				if err != nil {
					log.Fatal(err)
				}
				for owed[i] += perSecond / ticks; owed[i] >= 1; owed[i]-- {
					if sampled(tracer, name) {
						counts[name]++
					}
				}
			}
			time.Sleep(time.Until(next))
		}
		_ = json.NewEncoder(os.Stdout).Encode(counts)
	}
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 5 {
		log.Fatal("usage: see the first lines of main.go")
	}
	url, service, third, rest := os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
	sampler := jaegerremote.New(service, jaegerremote.WithSamplingServerURL(url),
		jaegerremote.WithSamplingRefreshInterval(200*time.Millisecond), jaegerremote.WithInitialSampler(sdktrace.NeverSample()))
	defer sampler.Close()
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithSampler(sdktrace.ParentBased(sampler)),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
	}
	n, err := strconv.Atoi(third)
	isPaced := err != nil
	if isPaced {
		exporter, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithEndpoint(third), otlptracegrpc.WithInsecure())
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(200*time.Millisecond)))
	}
	provider := sdktrace.NewTracerProvider(options...)
	tracer := provider.Tracer("sampler")
	if !isPaced {
		count(tracer, n, rest)
		return
	}
	seconds, err := strconv.Atoi(rest[0])
	if err != nil {
		log.Fatal(err)
	}
	pace(tracer, seconds, rest[1:])
	if err := provider.Shutdown(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
