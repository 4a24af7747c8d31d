/** Every metric: its name, what it means, and where its value comes from. */
import type { ClientMetrics } from "../client.js";
import { modeNames, type ReplicaProgress, statusNames } from "../status.js";

export interface MetricDefinition<Source> {
  name: string;
  help: string;
  kind: "counter" | "gauge";
  /** A label of its own, besides those that say whose metric it is. */
  label?: string;
  /** The value, or one value for each of the label's. */
  read(source: Source): number | Record<string, number>;
}

const microseconds = 1e-6;

/** 1 for the value that holds, 0 for the others. */
function oneOf(names: readonly string[], current: string): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, name === current ? 1 : 0]));
}

const gauge = <Source>(name: string, help: string, read: MetricDefinition<Source>["read"], label?: string): MetricDefinition<Source> => ({
  name,
  help,
  kind: "gauge",
  read,
  ...(label === undefined ? {} : { label }),
});
const counter = <Source>(name: string, help: string, read: MetricDefinition<Source>["read"], label?: string): MetricDefinition<Source> => ({
  name,
  help,
  kind: "counter",
  read,
  ...(label === undefined ? {} : { label }),
});

export const replicaMetrics: MetricDefinition<ReplicaProgress>[] = [
  gauge("squall_replica_status", "1 for the status that the replica is in", ({ status }) => oneOf(statusNames, status), "status"),
  gauge("squall_replica_mode", "1 for the mode of the replica's view", ({ mode }) => oneOf(modeNames, mode), "mode"),
  gauge("squall_replica_halted", "1 while the machine has failed and execution stands still", ({ halted }) => (halted ? 1 : 0)),
  gauge("squall_replica_incarnation", "How often the replica began to live", ({ incarnation }) => incarnation),
  gauge("squall_view", "Number of the view that the replica is in", ({ view }) => view),
  gauge("squall_log_speculative_seqno", "Sequence number of the log's last entry", ({ speculative }) => speculative),
  gauge("squall_log_executed_seqno", "Entries up to here are executed", ({ executed }) => executed),
  gauge("squall_log_committed_seqno", "Entries up to here are committed", ({ committed }) => committed),
  gauge("squall_log_base_seqno", "Entries up to here are gone from the log", ({ logBase }) => logBase),
  gauge("squall_log_durable_seqno", "Entries up to here are on disk; 0 without a data directory", ({ durable }) => durable),
  gauge("squall_storage_failed", "1 once a write to the data directory has failed", ({ storageFailed }) => (storageFailed ? 1 : 0)),
  gauge("squall_checkpoint_seqno", "Sequence number of the last checkpoint; 0: none", ({ checkpoint }) => checkpoint),
  gauge("squall_log_bytes", "Bytes of the log in use", ({ counters }) => counters.logBytes),
  gauge("squall_sessions", "Sessions of clients", ({ counters }) => counters.sessions),
  gauge("squall_requests_buffered", "Requests that wait for the end of a reconciliation", ({ counters }) => counters.buffered),
  gauge("squall_loop_delay_seconds", "How late the replica's last timer came", ({ counters }) => counters.loopDelayUs * microseconds),
  counter("squall_requests_appended_total", "Requests put into the log", ({ counters }) => counters.appended),
  counter("squall_requests_duplicate_total", "Requests answered from the session table", ({ counters }) => counters.duplicates),
  counter("squall_requests_refused_total", "Requests refused since the log was full", ({ counters }) => counters.refused),
  counter("squall_requests_forwarded_total", "Requests forwarded to the leader", ({ counters }) => counters.forwards),
  counter("squall_reads_total", "Read-only operations answered", ({ counters }) => counters.reads),
  counter("squall_replies_total", "Replies sent", ({ counters }) => counters.repliesSent),
  counter("squall_rolled_back_total", "Log entries rolled back", ({ counters }) => counters.rolledBack),
  counter("squall_reconciliations_total", "Reconciliations installed", ({ counters }) => counters.reconciliations),
  counter("squall_mode_switches_total", "Views that began in another mode than the one before", ({ counters }) => counters.modeSwitches),
  counter("squall_syncs_total", "SYNC messages sent", ({ counters }) => counters.syncsSent),
  counter("squall_prepares_total", "PREPARE messages sent", ({ counters }) => counters.prepares),
  counter(
    "squall_complaints_total",
    "Complaints of clients about operations that are not committed",
    ({ counters }) => counters.complaints,
  ),
  counter("squall_batches_total", "Batches of frames worked off", ({ counters }) => counters.batches),
  counter("squall_frames_received_total", "Frames received", ({ counters }) => counters.framesReceived),
  counter("squall_frames_sent_total", "Frames sent", ({ counters }) => counters.framesSent),
  counter("squall_dropped_total", "Frames and requests dropped, by reason", ({ counters }) => counters.dropped, "reason"),
];

export const clientMetrics: MetricDefinition<ClientMetrics>[] = [
  gauge("squall_client_operations_outstanding", "Operations under way", ({ outstanding }) => outstanding),
  gauge("squall_client_operations_queued", "Operations that wait for a place in the window", ({ queued }) => queued),
  gauge("squall_client_round_trip_seconds", "Smoothed round-trip time", ({ rttUs }) => rttUs * microseconds),
  gauge("squall_client_retry_seconds", "Present retransmission time-out", ({ retryUs }) => retryUs * microseconds),
  gauge("squall_client_view", "Number of the newest view that a replica answered from", ({ view }) => view),
  counter("squall_client_operations_completed_total", "Operations completed", ({ completions }) => completions),
  counter("squall_client_requests_total", "Requests sent", ({ requestsSent }) => requestsSent),
  counter("squall_client_retransmissions_total", "Requests sent again", ({ retransmissions }) => retransmissions),
  counter("squall_client_resends_total", "Ordered operations sent again since a predecessor was missing", ({ resends }) => resends),
  counter("squall_client_mismatches_total", "Operations that replicas had in different orders at first", ({ mismatches }) => mismatches),
  counter("squall_client_complaints_total", "Complaints sent to the replicas", ({ complaints }) => complaints),
  counter(
    "squall_client_committed_replies_total",
    "Operations completed since a replica knew them committed",
    ({ committedReplies }) => committedReplies,
  ),
  counter("squall_client_frames_received_total", "Frames received", ({ framesReceived }) => framesReceived),
  counter("squall_client_frames_sent_total", "Frames sent", ({ framesSent }) => framesSent),
  counter("squall_client_dropped_total", "Frames dropped, by reason", ({ dropped }) => dropped, "reason"),
];
