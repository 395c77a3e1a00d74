import EventLoop
import Glibc
import HTTPServer
import Lifecycle
import Primitives
import Terminal

/// How a worker leaves. The first SIGTERM or SIGINT lets requests in flight end, then answers that are
/// written reach their clients; the second ends at once. Lives on the server's loop.
final class Departure: @unchecked Sendable {
  private let program: Program
  private let loop: EventLoop
  private let http: HTTPServer
  /// Lets what is in flight end, and calls back.
  private let drain: (@escaping () -> Void) -> Void
  /// What is left to do before the process may go.
  private let finish: (@escaping () -> Void) -> Void
  private var signals: SignalSource?
  private var isLeaving = false

  /// For answers that are written but not yet taken. Connections that are idle end at once.
  private static let lastWords = TimeAmount.seconds(2)

  init(
    _ program: Program, _ loop: EventLoop, _ http: HTTPServer,
    drain: @escaping (@escaping () -> Void) -> Void,
    finish: @escaping (@escaping () -> Void) -> Void = { $0() }
  ) {
    self.program = program
    self.loop = loop
    self.http = http
    self.drain = drain
    self.finish = finish
  }

  func listenForSignals() {
    do {
      signals = try SignalSource(loop: loop) { [weak self] signal in self?.heard(signal) }
    } catch {
      program.say("\(error)")
    }
  }

  private func heard(_ signal: Signal) {
    guard signal == .terminate || signal == .interrupt else { return }
    if isLeaving { exit(1) }
    isLeaving = true
    drain { [self] in
      http.drain()
      leave(before: EventLoop.now() + Self.lastWords)
    }
  }

  private func leave(before limit: Instant) {
    guard http.connectionCount > 0, EventLoop.now() < limit else { return finish { exit(0) } }
    loop.schedule(after: .milliseconds(10)) { self.leave(before: limit) }
  }
}
