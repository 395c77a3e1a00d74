import Dispatch
import EventLoop
import Primitives
import WorkerAPI

/// Long bodies are read away from the loop: a prompt of a million tokens takes a tenth of a second.
extension WorkerServer {
  private static let queue = DispatchQueue(
    label: "portico.worker.preparation", attributes: .concurrent)

  func prepareElsewhere(
    _ preparation: Preparation, _ body: UnsafeRawBufferPointer, _ reply: any TextReply,
    since start: Instant
  ) {
    guard preparingBytes + body.count <= settings.preparingBytes, let loop = reply.loop else {
      return refuse(
        reply,
        APIError(
          .queueFull, "Too many long requests are being read; try again later.",
          code: "queue_full", retrySeconds: settings.queueRetrySeconds))
    }
    let bytes = [UInt8](body)
    preparing += 1
    preparingBytes += bytes.count
    let cancellation = Cancellation()
    reply.onClose = { cancellation.cancel() }
    let bound = LoopBound(reply, on: loop)
    let home = Home(server: self)
    Self.queue.async {
      // Who has left while others were read costs nothing.
      let result: Result<Preparation.Outcome, APIError>? =
        cancellation.isCancelled ? nil : bytes.withUnsafeBytes { preparation.run($0) }
      bound.post { reply in
        home.server?.arrived(result, bytes.count, reply, since: start)
      }
    }
  }

  private func arrived(
    _ result: Result<Preparation.Outcome, APIError>?, _ bytes: Int, _ reply: any TextReply,
    since start: Instant
  ) {
    preparing -= 1
    preparingBytes -= bytes
    reply.onClose = nil
    if let result, reply.isOpen { prepared(result, reply, since: start) }
    drainedIfIdle()
  }

  /// The server, for a message that comes back to its loop: it is touched there only.
  private final class Home: @unchecked Sendable {
    weak var server: WorkerServer?

    init(server: WorkerServer) { self.server = server }
  }
}
