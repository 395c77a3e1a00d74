import Dispatch
import EventLoop
import HTTPServer
import Primitives
import Synchronization

/// A fleet of fake inference engines in this process, on one loop.
///
/// It serves from `start` until `stop`; both may be called from any thread but the engine's own.
package final class MockEngine: Sendable {
  /// One engine and where it really listens.
  package struct Listening: Sendable, Equatable {
    package let name: String
    package let address: SocketAddress
  }

  /// In the order of the options.
  package let engines: [Listening]
  private let loop: EventLoop
  private let inside: LoopBound<(HTTPServer, MockHandler)>
  private let isStopped = Atomic(false)

  /// Opens all listeners, or none, and serves.
  package static func start(_ options: MockOptions) throws(SystemError) -> MockEngine {
    let loop = try EventLoop(index: 0, label: "mock")
    var limits = HTTPServerLimits()
    // A prompt with pictures in it.
    limits.bodyBytes = 64 << 20
    limits.leavingAborts = true
    let handler = MockHandler(seed: options.seed)
    let server = HTTPServer(loop: loop, handler: handler, limits: limits)
    var engines: [Listening] = []
    for (index, settings) in options.engines.enumerated() {
      let address = try server.listen(on: settings.address, tag: index)
      var settings = settings
      if settings.name.isEmpty { settings.name = address.port.map { "mock-\($0)" } ?? "mock" }
      handler.engines.append(MockHandler.Engine(settings: settings))
      engines.append(Listening(name: settings.name, address: address))
    }
    server.start()
    return MockEngine(engines, loop, LoopBound((server, handler), on: loop))
  }

  private init(
    _ engines: [Listening], _ loop: EventLoop, _ inside: LoopBound<(HTTPServer, MockHandler)>
  ) {
    self.engines = engines
    self.loop = loop
    self.inside = inside
  }

  /// Cuts every connection and closes the listeners before it returns. A second call does nothing.
  package func stop() {
    guard !isStopped.exchange(true, ordering: .relaxed) else { return }
    let closed = DispatchSemaphore(value: 0)
    inside.post { server, _ in
      server.close()
      closed.signal()
    }
    loop.stop()
    closed.wait()
  }
}
