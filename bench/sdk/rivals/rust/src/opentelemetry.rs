// The scenarios of ./dev bench sdk with the OpenTelemetry SDK for Rust.
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    noop::NoopTracerProvider, mark_span_as_active, Span, SpanKind, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter, SpanProcessor};
use opentelemetry_sdk::Resource;
use prost::Message;

mod measure;

#[global_allocator]
static ALLOCATOR: measure::Counting = measure::Counting;

// Drops each span on the thread that ended it.
#[derive(Debug)]
struct DropAtOnce;

impl SpanProcessor for DropAtOnce {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}
    fn on_end(&self, span: SpanData) {
        std::hint::black_box(&span);
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

// Makes the request's bytes and throws them away.
#[derive(Debug)]
struct ToNowhere {
    resource: ResourceAttributesWithSchema,
    exported: Arc<AtomicU64>,
}

impl SpanExporter for ToNowhere {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.exported.fetch_add(batch.len() as u64, Relaxed);
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        std::hint::black_box(request.encode_to_vec());
        Ok(())
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

fn text(prefix: &str, i: u64) -> String {
    format!("{prefix}{}", i & 1023)
}

struct Texts(Vec<[String; 4]>);

impl Texts {
    fn new() -> Self {
        Texts((0..1024).map(|i| [text("user-", i), text("/api/v1/items/", i), text("10.0.0.", i), text("pod-", i)]).collect())
    }
    fn at(&self, i: u64) -> &[String; 4] {
        &self.0[(i & 1023) as usize]
    }
}

fn set_4<S: Span>(span: &mut S, texts: &[String; 4], i: u64) {
    span.set_attribute(KeyValue::new("user.id", texts[0].clone()));
    span.set_attribute(KeyValue::new("http.route", texts[1].clone()));
    span.set_attribute(KeyValue::new("http.response.status_code", i as i64));
    span.set_attribute(KeyValue::new("server.address", texts[2].clone()));
}

fn set_10<S: Span>(span: &mut S, texts: &[String; 4], i: u64) {
    set_4(span, texts, i);
    span.set_attribute(KeyValue::new("k8s.pod.name", texts[3].clone()));
    span.set_attribute(KeyValue::new("db.namespace", texts[0].clone()));
    span.set_attribute(KeyValue::new("server.port", 5432i64));
    span.set_attribute(KeyValue::new("app.ratio", i as f64 * 0.5));
    span.set_attribute(KeyValue::new("app.cached", i & 1 == 0));
    span.set_attribute(KeyValue::new("app.region", texts[1].clone()));
}

fn hot_path(report: &mut measure::Report, texts: &Texts) {
    let provider = SdkTracerProvider::builder().with_span_processor(DropAtOnce).build();
    let tracer = provider.tracer("bench");
    report.time("start_end", |_| tracer.start("operation").end());
    report.time("attributes_4", |i| {
        let mut span = tracer.start("operation");
        set_4(&mut span, texts.at(i), i);
        span.end();
    });
    report.time("attributes_10_event", |i| {
        let mut span = tracer.start("operation");
        set_10(&mut span, texts.at(i), i);
        span.add_event("cache.miss", vec![KeyValue::new("cache.key", texts.at(i)[0].clone())]);
        span.end();
    });
    report.count_allocations(|i| {
        let mut span = tracer.start("operation");
        set_4(&mut span, texts.at(i), i);
        span.end();
    });
    let parent = tracer.span_builder("parent").with_kind(SpanKind::Server).start(&tracer);
    let _active = mark_span_as_active(parent);
    report.time("child_active", |_| {
        let _child = mark_span_as_active(tracer.start("child"));
    });
    drop(_active);

    let propagator = TraceContextPropagator::new();
    let mut incoming = HashMap::new();
    incoming.insert("traceparent".to_string(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_string());
    let mut outgoing = HashMap::new();
    report.time("extract_inject", |_| {
        let context = propagator.extract_with_context(&Context::new(), &incoming);
        propagator.inject_context(&context, &mut outgoing);
        std::hint::black_box(&outgoing);
    });
}

fn cold_path(report: &mut measure::Report, texts: &Texts) {
    let provider = SdkTracerProvider::builder()
        .with_span_processor(DropAtOnce)
        .with_sampler(Sampler::AlwaysOff)
        .build();
    let tracer = provider.tracer("bench");
    report.time("sampled_out", |i| {
        let mut span = tracer.start("operation");
        set_4(&mut span, texts.at(i), i);
        span.end();
    });
    let nothing = NoopTracerProvider::new().tracer("bench");
    report.time("unconfigured", |_| {
        let mut span = nothing.start("operation");
        span.end();
        std::hint::black_box(span.span_context().is_valid());
    });
}

fn pipeline(report: &mut measure::Report, texts: &Texts) {
    let exported = Arc::new(AtomicU64::new(0));
    let exporter = ToNowhere { resource: Default::default(), exported: exported.clone() };
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).build())
        .build();
    let tracer = provider.tracer("bench");
    report.pipeline(
        |i| {
            let mut span = tracer.start("operation");
            set_4(&mut span, texts.at(i), i);
            span.end();
        },
        || provider.force_flush().unwrap_or(()),
        || exported.load(Relaxed),
    );
}

fn main() {
    let texts = Texts::new();
    let mut report = measure::Report::default();
    assert!(!Context::current().span().span_context().is_valid());
    hot_path(&mut report, &texts);
    cold_path(&mut report, &texts);
    pipeline(&mut report, &texts);
    report.print();
}
