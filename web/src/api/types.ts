// The shapes of /api/ui/v1. Times are ns as decimal strings.

export interface Boot {
  version: string;
  features: string[];
  services: string[];
  now_ns: string;
  endpoints: { otlp_grpc: string; otlp_http: string };
  spans: string;
  limits: { search_limit_max: number };
}

export interface Health {
  spans: string;
  spans_per_s: number;
  disk_bytes: string;
  memory_bytes: string;
  oldest_ns: string | null;
  rejected: string;
  state: string;
  reason: string;
}

export interface SettingsAnswer {
  version: string;
  settings: { key: string; value: string; text: string; is_default: boolean }[];
  storage: {
    spans: string;
    segments: number;
    disk_bytes: string;
    kept_bytes: string;
    log_bytes: string;
    oldest_ns: string | null;
    quarantined: number;
    duplicates: number;
    disk: { total_bytes: string; free_bytes: string } | null;
    state: string;
    reason: string;
  };
}

export interface SamplingAnswer {
  services: { name: string; spans: number; weighted: number }[];
  partial: boolean;
  reason: string;
}

/** Calls from one to another; counts are of what the stored spans stand for, `spans` is how many these are. */
export interface MapEdgeAnswer {
  client: string;
  server: string;
  type: '' | 'messaging_system' | 'database' | 'virtual_node';
  /** http, rpc, messaging, database; several with commas between them. */
  protocol?: string;
  count: number;
  errors: number;
  spans: number;
  p50_ns: number;
  p95_ns: number;
  queue_p50_ns?: number;
  queue_p95_ns?: number;
}

export interface MapAnswer {
  nodes: { name: string; rate: number; count: number; errors: number; spans: number }[];
  edges: MapEdgeAnswer[];
  /** Calls that nothing answered and that do not say what they called: without a server. */
  unpaired: MapEdgeAnswer[];
  partial: boolean;
  reason: string;
}

export interface ServiceSeries {
  name: string;
  rate: number[];
  errors: number[];
  p50_ns: (number | null)[];
  p95_ns: (number | null)[];
  total: { count: number; errors: number; rate: number; p50_ns: number | null; p95_ns: number | null };
  operations: number;
}

export interface ServicesAnswer {
  from: string;
  to: string;
  step: string;
  services: ServiceSeries[];
}

export interface MatchedSpan {
  id: string;
  name: string;
  start_ns: string;
  duration_ns: string;
}

export interface TraceSummary {
  id: string;
  root_service: string | null;
  root_name: string | null;
  start_ns: string;
  duration_ns: string;
  spans: number;
  errors: number;
  services: { name: string; spans: number; errors: number }[];
  matched: number;
  matched_spans: MatchedSpan[];
  root_received: boolean;
}

export interface SearchStats {
  scanned_spans: number;
  scanned_bytes: number;
  ms: number;
  partial: boolean;
  reason: string;
  weighted: boolean;
}

export interface SearchEnd {
  cursor: string | null;
  stats: SearchStats;
}

export interface ParseAnswer {
  ok: boolean;
  message?: string;
  pos?: number;
  hint?: string;
  tokens?: { from: number; to: number; kind: string }[];
}

export interface Attribute {
  key: string;
  type: string;
  value: unknown;
  cut: boolean;
}

export interface SpanRow {
  row: number;
  span_id: string;
  parent_span_id: string;
  name: string;
  kind: string;
  service: string;
  start_ns: string;
  end_ns: string;
  /** By how much at least it came after the rest of the trace was over; of late spans only. */
  late_ns?: string;
  status: { code: string; message: string };
  trace_state: string;
  flags: number;
  attributes: Attribute[];
  events: { name: string; time_ns: string; attributes: Attribute[] }[];
  links: { trace_id: string; span_id: string; trace_state: string; attributes: Attribute[] }[];
  resource: { attributes: Attribute[]; schema_url: string };
  scope: { name: string; version: string; attributes: Attribute[] };
  dropped: { attributes: number; events: number; links: number };
}
