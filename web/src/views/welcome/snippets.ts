import * as texts from '../../texts/texts.ts';

// One short, complete way to a first trace per language. `http` and `grpc` are host:port of this server.

export interface Snippet {
  id: string;
  label: string;
  note: string;
  steps: { title: string; code: string }[];
}

export function snippets(http: string, grpc: string): Snippet[] {
  const url = `http://${http}`;
  const env = (name: string): string =>
    `OTEL_SERVICE_NAME=${name} \\\nOTEL_EXPORTER_OTLP_ENDPOINT=${url} \\\nOTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf \\\n` +
    'OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none \\\n';
  return [
    {
      id: 'go', label: 'Go', note: texts.welcome.the_opentelemetry_sdk_for_go,
      steps: [
        {
          title: texts.welcome.in_an_empty_folder,
          code: `go mod init hello
go get go.opentelemetry.io/otel go.opentelemetry.io/otel/sdk \\
  go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp`,
        },
        {
          title: 'main.go',
          code: `package main

import (
	"context"
	"log"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	ctx := context.Background()
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL("${url}/v1/traces"))
	if err != nil {
		log.Fatal(err)
	}
	provider := trace.NewTracerProvider(
		trace.WithBatcher(exporter),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", "hello-go"))),
	)
	defer provider.Shutdown(ctx)

	tracer := provider.Tracer("hello")
	ctx, parent := tracer.Start(ctx, "GET /hello")
	parent.SetAttributes(attribute.String("user.id", "4815"))
	_, child := tracer.Start(ctx, "load greeting")
	child.End()
	parent.End()
}`,
        },
        { title: texts.welcome.run_it, code: 'go run .' },
      ],
    },
    {
      id: 'java', label: 'Java', note: texts.welcome.the_java_agent_traces_http_servers,
      steps: [
        {
          title: texts.welcome.get_the_agent,
          code: 'curl -sLO https://github.com/open-telemetry/opentelemetry-java-instrumentation/releases/latest/download/opentelemetry-javaagent.jar',
        },
        { title: texts.welcome.start_your_program_with_it, code: `${env('my-java-service')}java -javaagent:opentelemetry-javaagent.jar -jar app.jar` },
      ],
    },
    {
      id: 'python', label: 'Python', note: texts.welcome.works_with_flask_django_fastapi,
      steps: [
        { title: texts.welcome.install, code: 'pip install opentelemetry-distro opentelemetry-exporter-otlp\nopentelemetry-bootstrap -a install' },
        { title: texts.welcome.start_your_program_with_it, code: `${env('my-python-service')}opentelemetry-instrument python app.py` },
        {
          title: texts.welcome.or_try_this_as_app_py,
          code: `from opentelemetry import trace

tracer = trace.get_tracer("hello")
with tracer.start_as_current_span("GET /hello") as span:
    span.set_attribute("user.id", "4815")
    with tracer.start_as_current_span("load greeting"):
        print("hello")`,
        },
      ],
    },
    {
      id: 'node', label: 'Node.js', note: texts.welcome.works_with_http_express_fastify_pg,
      steps: [
        { title: texts.welcome.install, code: 'npm install @opentelemetry/api @opentelemetry/auto-instrumentations-node' },
        {
          title: texts.welcome.start_your_program_with_it,
          code: `${env('my-node-service')}NODE_OPTIONS="--require @opentelemetry/auto-instrumentations-node/register" \\\nnode app.js`,
        },
        {
          title: texts.welcome.or_try_this_as_app_js,
          code: `const { trace } = require('@opentelemetry/api');

trace.getTracer('hello').startActiveSpan('GET /hello', (span) => {
  span.setAttribute('user.id', '4815');
  span.end();
});
// The agent sends what is left when the program ends by a signal or by itself.
setTimeout(() => console.log('sent'), 6000);`,
        },
      ],
    },
    {
      id: 'dotnet', label: '.NET', note: texts.welcome.the_opentelemetry_sdk_for_net_8,
      steps: [
        {
          title: texts.welcome.in_an_empty_folder,
          code: 'dotnet new console\ndotnet add package OpenTelemetry\ndotnet add package OpenTelemetry.Exporter.OpenTelemetryProtocol',
        },
        {
          title: 'Program.cs',
          code: `using System.Diagnostics;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

using var source = new ActivitySource("hello");
using var provider = Sdk.CreateTracerProviderBuilder()
    .AddSource("hello")
    .ConfigureResource(resource => resource.AddService("hello-dotnet"))
    .AddOtlpExporter(options =>
    {
        options.Endpoint = new Uri("${url}/v1/traces");
        options.Protocol = OtlpExportProtocol.HttpProtobuf;
    })
    .Build();

using (var parent = source.StartActivity("GET /hello", ActivityKind.Server))
{
    parent?.SetTag("user.id", "4815");
    using var child = source.StartActivity("load greeting");
}`,
        },
        { title: texts.welcome.run_it, code: 'dotnet run' },
      ],
    },
    {
      id: 'cpp', label: 'C++', note: texts.welcome.the_opentelemetry_sdk_for_c_with,
      steps: [
        {
          title: 'main.cc',
          code: `#include <opentelemetry/exporters/otlp/otlp_http_exporter_factory.h>
#include <opentelemetry/exporters/otlp/otlp_http_exporter_options.h>
#include <opentelemetry/sdk/resource/resource.h>
#include <opentelemetry/sdk/trace/simple_processor_factory.h>
#include <opentelemetry/sdk/trace/tracer_provider.h>
#include <opentelemetry/sdk/trace/tracer_provider_factory.h>

namespace otlp = opentelemetry::exporter::otlp;
namespace sdk = opentelemetry::sdk;

int main() {
    otlp::OtlpHttpExporterOptions options;
    options.url = "${url}/v1/traces";
    auto provider = sdk::trace::TracerProviderFactory::Create(
        sdk::trace::SimpleSpanProcessorFactory::Create(otlp::OtlpHttpExporterFactory::Create(options)),
        sdk::resource::Resource::Create({{"service.name", "hello-cpp"}}));

    auto span = provider->GetTracer("hello")->StartSpan("GET /hello");
    span->SetAttribute("user.id", "4815");
    span->End();
}`,
        },
        {
          title: 'CMakeLists.txt',
          code: `cmake_minimum_required(VERSION 3.20)
project(hello CXX)
find_package(opentelemetry-cpp CONFIG REQUIRED)
add_executable(hello main.cc)
target_link_libraries(hello opentelemetry-cpp::otlp_http_exporter opentelemetry-cpp::trace)`,
        },
      ],
    },
    {
      id: 'rust', label: 'Rust', note: texts.welcome.the_opentelemetry_crates_version_0,
      steps: [
        {
          title: texts.welcome.in_a_new_crate,
          code: 'cargo add opentelemetry opentelemetry_sdk\ncargo add opentelemetry-otlp --no-default-features --features trace,http-proto,reqwest-blocking-client',
        },
        {
          title: 'src/main.rs',
          code: `use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{trace::SdkTracerProvider, Resource};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint("${url}/v1/traces")
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("hello-rust").build())
        .with_batch_exporter(exporter)
        .build();

    let tracer = provider.tracer("hello");
    tracer.in_span("GET /hello", |cx| {
        cx.span().set_attribute(KeyValue::new("user.id", "4815"));
        tracer.in_span("load greeting", |_| {});
    });
    provider.shutdown()?;
    Ok(())
}`,
        },
        { title: texts.welcome.run_it, code: 'cargo run' },
      ],
    },
    {
      id: 'ruby', label: 'Ruby', note: texts.welcome.for_rails_and_rack_add,
      steps: [
        { title: texts.welcome.install, code: 'gem install opentelemetry-sdk opentelemetry-exporter-otlp' },
        {
          title: 'hello.rb',
          code: `ENV['OTEL_EXPORTER_OTLP_ENDPOINT'] ||= '${url}'
require 'opentelemetry/sdk'
require 'opentelemetry/exporter/otlp'

OpenTelemetry::SDK.configure { |c| c.service_name = 'hello-ruby' }

tracer = OpenTelemetry.tracer_provider.tracer('hello')
tracer.in_span('GET /hello', attributes: { 'user.id' => '4815' }) do
  tracer.in_span('load greeting') { puts 'hello' }
end
OpenTelemetry.tracer_provider.shutdown`,
        },
        { title: texts.welcome.run_it, code: 'ruby hello.rb' },
      ],
    },
    {
      id: 'php', label: 'PHP', note: texts.welcome.for_laravel_symfony_and_others_add,
      steps: [
        { title: texts.welcome.install, code: 'composer require open-telemetry/sdk open-telemetry/exporter-otlp guzzlehttp/guzzle' },
        {
          title: 'hello.php',
          code: `<?php
require 'vendor/autoload.php';

use OpenTelemetry\\Contrib\\Otlp\\OtlpHttpTransportFactory;
use OpenTelemetry\\Contrib\\Otlp\\SpanExporter;
use OpenTelemetry\\SDK\\Trace\\SpanProcessor\\SimpleSpanProcessor;
use OpenTelemetry\\SDK\\Trace\\TracerProvider;

$transport = (new OtlpHttpTransportFactory())->create('${url}/v1/traces', 'application/x-protobuf');
$provider = new TracerProvider(new SimpleSpanProcessor(new SpanExporter($transport)));

$span = $provider->getTracer('hello')->spanBuilder('GET /hello')->startSpan();
$span->setAttribute('user.id', '4815');
$span->end();
$provider->shutdown();`,
        },
        { title: texts.welcome.run_it, code: 'OTEL_SERVICE_NAME=hello-php php hello.php' },
      ],
    },
    {
      id: 'collector', label: 'Collector', note: texts.welcome.the_opentelemetry_collector_for,
      steps: [
        {
          title: 'config.yaml',
          code: `receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:14317
      http:
        endpoint: 127.0.0.1:14318

processors:
  batch: {}

exporters:
  otlp/spanloom:
    endpoint: ${grpc}
    tls:
      insecure: true

service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch]
      exporters: [otlp/spanloom]`,
        },
        { title: texts.welcome.run_it, code: 'otelcol --config config.yaml' },
      ],
    },
    {
      id: 'curl', label: 'curl', note: texts.welcome.one_trace_by_hand_with_nothing,
      steps: [
        {
          title: texts.welcome.paste_into_a_shell,
          code: `now=$(date +%s)
curl -i ${url}/v1/traces -H 'content-type: application/json' -d '{"resourceSpans":[{
  "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"hello-curl"}}]},
  "scopeSpans":[{"spans":[{
    "traceId":"'$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n')'",
    "spanId":"'$(od -An -N8 -tx1 /dev/urandom | tr -d ' \\n')'",
    "name":"GET /hello","kind":2,
    "startTimeUnixNano":"'$((now - 1))'000000000","endTimeUnixNano":"'$now'000000000",
    "attributes":[{"key":"user.id","value":{"stringValue":"4815"}}]}]}]}]}'`,
        },
      ],
    },
  ];
}
