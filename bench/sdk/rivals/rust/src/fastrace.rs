// The scenarios of ./dev bench sdk with fastrace. Its values are strings, so numbers are formatted.
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Duration;

use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::local::LocalSpan;
use fastrace::prelude::*;
use fastrace_opentelemetry::OpenTelemetryReporter;
use opentelemetry::InstrumentationScope;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use opentelemetry_sdk::Resource;
use prost::Message;

mod measure;

#[global_allocator]
static ALLOCATOR: measure::Counting = measure::Counting;

struct Nothing;

impl Reporter for Nothing {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        std::hint::black_box(&spans);
    }
}

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

struct Texts(Vec<[String; 4]>);

impl Texts {
    fn new() -> Self {
        let of = |prefix: &str, i: u64| format!("{prefix}{}", i & 1023);
        Texts((0..1024).map(|i| [of("user-", i), of("/api/v1/items/", i), of("10.0.0.", i), of("pod-", i)]).collect())
    }
    fn at(&self, i: u64) -> &[String; 4] {
        &self.0[(i & 1023) as usize]
    }
}

fn four(texts: &[String; 4], i: u64) -> [(&'static str, String); 4] {
    [
        ("user.id", texts[0].clone()),
        ("http.route", texts[1].clone()),
        ("http.response.status_code", i.to_string()),
        ("server.address", texts[2].clone()),
    ]
}

fn ten(texts: &[String; 4], i: u64) -> [(&'static str, String); 10] {
    let [a, b, c, d] = four(texts, i);
    [
        a,
        b,
        c,
        d,
        ("k8s.pod.name", texts[3].clone()),
        ("db.namespace", texts[0].clone()),
        ("server.port", 5432.to_string()),
        ("app.ratio", (i as f64 * 0.5).to_string()),
        ("app.cached", (i & 1 == 0).to_string()),
        ("app.region", texts[1].clone()),
    ]
}

fn main() {
    let texts = Texts::new();
    let mut report = measure::Report::default();
    let parent = SpanContext::random().sampled(true);
    report.time("unconfigured", |_| drop(std::hint::black_box(Span::root("operation", parent))));

    fastrace::set_reporter(Nothing, Config::default().report_interval(Duration::from_millis(10)));
    report.time("start_end", |_| drop(Span::root("operation", SpanContext::random())));
    report.time("attributes_4", |i| {
        drop(Span::root("operation", SpanContext::random()).with_properties(|| four(texts.at(i), i)))
    });
    report.time("attributes_10_event", |i| {
        let span = Span::root("operation", SpanContext::random()).with_properties(|| ten(texts.at(i), i));
        span.add_event(Event::new("cache.miss").with_property(|| ("cache.key", texts.at(i)[0].clone())));
    });
    report.count_allocations(|i| {
        drop(Span::root("operation", SpanContext::random()).with_properties(|| four(texts.at(i), i)))
    });
    report.time("sampled_out", |i| {
        let root = SpanContext::random().sampled(false);
        drop(Span::root("operation", root).with_properties(|| four(texts.at(i), i)))
    });
    report.time("extract_inject", |_| {
        let traceparent = std::hint::black_box("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let context = SpanContext::decode_w3c_traceparent(traceparent).unwrap();
        std::hint::black_box(context.encode_w3c_traceparent());
    });
    {
        let mut in_parent = 0;
        let mut parent = Span::root("parent", SpanContext::random());
        let mut guard = Some(parent.set_local_parent());
        report.time("child_active", |_| {
            // A local parent holds 10,240 spans; beyond them nothing is recorded.
            in_parent += 1;
            if in_parent % 5_000 == 0 {
                drop(guard.take());
                parent = Span::root("parent", SpanContext::random());
                guard = Some(parent.set_local_parent());
            }
            let _child = LocalSpan::enter_with_local_parent("child");
        });
        drop(guard);
    }
    fastrace::flush();

    let exported = Arc::new(AtomicU64::new(0));
    let exporter = ToNowhere { resource: Default::default(), exported: exported.clone() };
    let scope = InstrumentationScope::builder("bench").build();
    let reporter = OpenTelemetryReporter::new(exporter, Cow::Owned(Resource::builder().build()), scope);
    fastrace::set_reporter(reporter, Config::default());
    report.pipeline(
        |i| drop(Span::root("operation", SpanContext::random()).with_properties(|| four(texts.at(i), i))),
        fastrace::flush,
        || exported.load(Relaxed),
    );
    report.print();
}
