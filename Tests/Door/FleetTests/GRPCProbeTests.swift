import CLinux
import Configuration
import EventLoop
import GRPC
import GRPCServer
import Glibc
import HTTPServer
import Primitives
import Synchronization
import Testing

@testable import Fleet

/// A server of gRPC's health service, as a test says.
private final class HealthServer: GRPCHandler, HTTPHandler, @unchecked Sendable {
  let loop: EventLoop
  private(set) var address = SocketAddress.ipv4(0, port: 0)
  private let answer: @Sendable (String, GRPCCall) -> Void
  /// Made before the loop starts; touched there.
  private var http: HTTPServer!
  private var grpc: GRPCServer?

  init(
    speaksGRPC: Bool = true, _ answer: @escaping @Sendable (String, GRPCCall) -> Void
  ) throws {
    loop = try EventLoop(index: 0, label: "health")
    self.answer = answer
    http = HTTPServer(loop: loop, handler: self)
    if speaksGRPC {
      grpc = GRPCServer(http: http)
      grpc?.handler = self
    }
    address = try http.listen(on: .ipv4(0x7f00_0001, port: 0))
    http.start()
  }

  deinit { loop.stop() }

  func begin(_ call: GRPCCall) {
    call.unary { [answer, unowned call] message in
      let service = try? message.lend { (bytes) throws(ProtobufComplaint) in
        try HealthService.service(ofRequest: bytes)
      }
      answer(call.path == HealthService.check ? service ?? "?" : "another method", call)
    }
  }

  func handle(_ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    responder.respond(404, "")
  }
  var nextDeadline: Instant { .never }
  func deadlinePassed(at now: Instant) {}
  func drain() {}
}

/// What could break: a member that says NOT_SERVING and is used, one that serves and is not, by whatever
/// way gRPC tells it.
@Suite(.timeLimit(.minutes(1))) struct GRPCProbeTests {
  private static func say(_ serving: HealthService.Serving, _ call: GRPCCall) {
    call.send(HealthService.response(serving))
    call.finish(.ok)
  }

  private func word(
    _ address: SocketAddress, service: String = ""
  ) async throws -> (Verdict, String?) {
    var settings = HealthSettings()
    settings.probe = .grpc(service: service)
    settings.interval = .milliseconds(10)
    settings.timeout = .seconds(20)
    settings.fall = 1
    let target = Target(
      id: Target.ID(pool: "chat", backend: "a"), address: address, authority: "a:1",
      settings: settings)
    let loop = try EventLoop(index: 0, label: "control")
    let (verdicts, pen) = AsyncStream<Verdict>.makeStream()
    let prober = try HealthProber(control: loop, seed: 1) { _, verdict in pen.yield(verdict) }
    let control = Idle()
    loop.start(control)
    loop.post { prober.apply(targets: [target]) }
    var verdict = Verdict.unknown
    for await said in verdicts {
      verdict = said
      break
    }
    let error = await withCheckedContinuation { done in
      loop.post {
        done.resume(returning: prober.health(of: target.id)?.lastError)
        prober.stop()
      }
    }
    loop.stop()
    return (verdict, error)
  }

  @Test func onlyServingIsHealthy() async throws {
    let server = try HealthServer { service, call in
      switch service {
      case "": Self.say(.serving, call)
      case "inference.GRPCInferenceService": Self.say(.notServing, call)
      case "odd": Self.say(.unknown, call)
      case "large":
        call.send([UInt8](repeating: 0, count: 100_000))
        call.finish(.ok)
      case "nothing": call.finish(.ok)
      default: call.finish(GRPCStatus(.notFound, "no käse"))
      }
    }
    #expect(try await word(server.address) == (.good, nil))
    for (service, error) in [
      ("inference.GRPCInferenceService", "health service says NOT_SERVING"),
      ("odd", "health service says UNKNOWN"), ("large", "answer is not gRPC"),
      ("nothing", "answer is not gRPC"), ("other", "grpc status NOT_FOUND: no käse"),
    ] {
      #expect(try await word(server.address, service: service) == (.bad, error))
    }
  }

  // A server that speaks HTTP/1.1 alone.
  @Test func othersAreToldApart() async throws {
    let server = try HealthServer(speaksGRPC: false) { _, _ in }
    let (verdict, error) = try await word(server.address)
    #expect(verdict == .bad)
    #expect(error == "closed without an answer by HTTP/2")
  }
}
