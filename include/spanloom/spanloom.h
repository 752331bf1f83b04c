#pragma once

// Everything a program needs: `auto telemetry = spanloom::init({.service_name = "shop"});`.
#include "spanloom/attribute.h"
#include "spanloom/baggage.h"
#include "spanloom/context.h"
#include "spanloom/exporter.h"
#include "spanloom/init.h"
#include "spanloom/processor.h"
#include "spanloom/propagator.h"
#include "spanloom/resource.h"
#include "spanloom/sampler.h"
#include "spanloom/span.h"
#include "spanloom/tracer.h"
#include "spanloom/tracer_provider.h"
