package acceptance;

import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.extension.trace.jaeger.sampler.JaegerRemoteSampler;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import java.time.Duration;

/**
 * Samples root spans with OpenTelemetry's Jaeger remote sampler, over gRPC.
 *
 * <p>Sampler GRPC_URL SERVICE N OPERATION...: N spans of each; {"OPERATION": sampled, ...}. The operation "ready" must have a
 * probability of 1: it tells that a strategy is in force.
 */
public final class Sampler {
  private static boolean sampled(Tracer tracer, String name) {
    var span = tracer.spanBuilder(name).setParent(Context.root()).setSpanKind(SpanKind.SERVER).startSpan();
    span.end();
    return span.getSpanContext().isSampled();
  }

  public static void main(String[] args) throws Exception {
    var sampler = JaegerRemoteSampler.builder().setEndpoint(args[0]).setServiceName(args[1]).setPollingInterval(Duration.ofMillis(200))
        .setInitialSampler(io.opentelemetry.sdk.trace.samplers.Sampler.alwaysOff()).build();
    try (var provider = SdkTracerProvider.builder().setSampler(sampler).build()) {
      var tracer = provider.get("sampler");
      var deadline = System.nanoTime() + 20_000_000_000L;
      while (!sampled(tracer, "ready")) {
        if (System.nanoTime() > deadline) {
          throw new IllegalStateException("no strategy came within 20 s");
        }
        Thread.sleep(20);
      }
      var out = new StringBuilder();
      for (int i = 3; i < args.length; i++) {
        int count = 0;
        for (int n = Integer.parseInt(args[2]); n > 0; n--) {
          count += sampled(tracer, args[i]) ? 1 : 0;
        }
        out.append(out.length() == 0 ? "{" : ", ").append('"').append(args[i]).append("\": ").append(count);
      }
      System.out.println(out.append('}'));
    }
    sampler.close();
  }
}
