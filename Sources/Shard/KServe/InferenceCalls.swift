import EventLoop
import GRPC
import GRPCServer
import Primitives
import WorkerAPI

/// The gRPC services of a worker: `inference.GRPCInferenceService` and `grpc.health.v1.Health`.
///
/// Those who watch are told at once when `stateChanged` is called, and within a second of changes that
/// only time brings, such as an engine that gets stuck. Lives on the server's loop.
package final class InferenceCalls: GRPCHandler {
  private unowned let host: any InferenceHost
  private var watchers: [(call: GRPCCall, service: String, told: HealthService.Serving)] = []
  private var inspection = Instant.never
  private var isLeaving = false

  /// Calls of `Watch` at a time. Count. Each costs a stream; a fleet's probes need a few.
  private static let watcherLimit = 1_024
  private static let inspectionInterval = TimeAmount.seconds(1)

  package init(_ host: any InferenceHost) { self.host = host }

  package func begin(_ call: GRPCCall) {
    switch call.path {
    case HealthService.check: unary(call) { [self] in try check($0) }
    case HealthService.watch: watch(call)
    default:
      guard let method = InferenceService.method(call.path) else {
        host.refused(.unknownPath)
        return call.finish(
          GRPCStatus(
            .unimplemented,
            "There is no method \(call.path.prefix(200)) here; there are those of "
              + "\(InferenceService.name) and grpc.health.v1.Health."))
      }
      begin(method, call)
    }
  }

  private func begin(_ method: InferenceService.Method, _ call: GRPCCall) {
    let host = host
    switch method {
    case .serverLive: unary(call) { _ in InferenceService.flag(host.isAlive) }
    case .serverReady: unary(call) { _ in InferenceService.flag(host.unreadiness == nil) }
    case .serverMetadata: unary(call) { _ in host.inferenceServer.bytes }
    case .modelReady:
      unary(call) { message in
        let asked = try Self.model(message)
        try host.check(model: asked.name, version: asked.version)
        return InferenceService.flag(host.unreadiness == nil)
      }
    case .modelMetadata:
      unary(call) { message in
        let asked = try Self.model(message)
        try host.check(model: asked.name, version: asked.version)
        return host.inferenceModel.bytes
      }
    case .modelInfer: host.infer(call)
    case .modelStreamInfer: host.streamInfer(call)
    }
  }

  private static func model(_ message: [UInt8]) throws -> ModelNameMessage {
    try message.lend { try ModelNameMessage($0) }
  }

  /// One message, answered at once.
  private func unary(_ call: GRPCCall, _ answer: @escaping ([UInt8]) throws -> [UInt8]) {
    call.unary { [host, unowned call] message in
      do {
        call.send(try answer(message))
        call.finish(.ok)
      } catch let error as APIError {
        host.refused(error.reason)
        call.finish(error.grpc)
      } catch let complaint as ProtobufComplaint {
        host.refused(.invalid)
        call.finish(complaint.status)
      } catch {
        call.finish(error as? GRPCStatus ?? GRPCStatus(.internal, "\(error)"))
      }
    }
  }

  // MARK: Health

  /// The state of a service: the whole server (no name), the inference service, and the model by its
  /// name. nil for others.
  private func serving(_ service: String) -> HealthService.Serving? {
    guard service.isEmpty || service == InferenceService.name || host.isNamed(service) else {
      return nil
    }
    return host.unreadiness == nil && !isLeaving ? .serving : .notServing
  }

  private func check(_ message: [UInt8]) throws -> [UInt8] {
    let service = try message.lend { try HealthService.service(ofRequest: $0) }
    guard let serving = serving(service) else {
      throw GRPCStatus(.notFound, "There is no service '\(service.prefix(200))' here.")
    }
    return HealthService.response(serving)
  }

  private func watch(_ call: GRPCCall) {
    guard watchers.count < Self.watcherLimit else {
      return call.finish(
        GRPCStatus(
          .resourceExhausted,
          "\(watchers.count) calls watch already, and no more may (watcher limit)."))
    }
    call.onMessage = { [weak self, unowned call] message in
      guard let self else { return }
      do throws(ProtobufComplaint) {
        let service = try message.lend { (bytes) throws(ProtobufComplaint) in
          try HealthService.service(ofRequest: bytes)
        }
        begin(watching: service, call)
      } catch {
        call.finish(error.status)
      }
    }
    call.onEnd = { [weak self, unowned call] in
      guard let self, !watchers.contains(where: { $0.call === call }) else { return }
      call.finish(GRPCStatus(.internal, "This method takes one message; none came."))
    }
    call.onClose = { [weak self, unowned call] in
      self?.watchers.removeAll { $0.call === call }
    }
  }

  private func begin(watching service: String, _ call: GRPCCall) {
    guard !watchers.contains(where: { $0.call === call }) else {
      watchers.removeAll { $0.call === call }
      return call.finish(GRPCStatus(.internal, "This method takes one message; a second one came."))
    }
    let told = serving(service) ?? .serviceUnknown
    watchers.append((call, service, told))
    call.send(HealthService.response(told))
    if inspection == .never { inspection = EventLoop.now() + Self.inspectionInterval }
  }

  /// Whether texts are welcome may have changed: those who watch are told.
  package func stateChanged() {
    for index in watchers.indices {
      let now = serving(watchers[index].service) ?? .serviceUnknown
      guard now != watchers[index].told else { continue }
      watchers[index].told = now
      watchers[index].call.send(HealthService.response(now))
    }
  }

  package var nextDeadline: Instant { inspection }

  package func deadlinePassed(at now: Instant) {
    stateChanged()
    inspection = watchers.isEmpty ? .never : now + Self.inspectionInterval
  }

  package func drain() {
    isLeaving = true
    stateChanged()
    let all = watchers
    watchers = []
    for watcher in all {
      watcher.call.finish(GRPCStatus(.unavailable, "The server is ending; ask another."))
    }
  }
}
