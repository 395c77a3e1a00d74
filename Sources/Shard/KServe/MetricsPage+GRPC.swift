import GRPC
import GRPCServer
import WorkerAPI

extension MetricsPage {
  /// What a worker's gRPC server counts.
  ///
  /// - Parameter prefix: of the names, as `portico_worker`.
  package mutating func put(_ server: GRPCServer?, prefix: String) {
    gauge("\(prefix)_grpc_calls", "gRPC calls under way.", server?.callCount ?? 0)
    counter(
      "\(prefix)_grpc_message_refusals_total", "Messages over a limit, refused unread.",
      server?.refusals ?? 0)
    family("\(prefix)_grpc_calls_total", "counter", "gRPC calls by how they ended.")
    for code in GRPCStatus.Code.allCases {
      line(
        "\(prefix)_grpc_calls_total", "status=\"\(code.name)\"",
        "\(server?.statuses[code] ?? 0)")
    }
  }
}
