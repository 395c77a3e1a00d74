import Dispatch
import EventLoop
import HTTPServer
import Primitives
import WorkerAPI

/// Long bodies are read away from the loop: a prompt of a million tokens takes a tenth of a second.
extension WorkerServer {
  private static let queue = DispatchQueue(
    label: "portico.worker.preparation", attributes: .concurrent)

  func prepareElsewhere(
    _ preparation: Preparation, _ body: UnsafeRawBufferPointer, _ responder: HTTPResponder,
    _ format: LoadReport.Format?, since start: Instant
  ) {
    guard preparingBytes + body.count <= settings.preparingBytes, let bound = responder.bound
    else {
      return refuse(
        responder,
        APIError(
          .queueFull, "Too many long requests are being read; try again later.",
          code: "queue_full", retrySeconds: settings.queueRetrySeconds))
    }
    let bytes = [UInt8](body)
    preparing += 1
    preparingBytes += bytes.count
    let cancellation = Cancellation()
    responder.onClose = { cancellation.cancel() }
    let home = Home(server: self)
    Self.queue.async {
      // Who has left while others were read costs nothing.
      let result: Result<Preparation.Outcome, APIError>? =
        cancellation.isCancelled ? nil : bytes.withUnsafeBytes { preparation.run($0) }
      bound.post { responder in
        home.server?.arrived(result, bytes.count, responder, format, since: start)
      }
    }
  }

  private func arrived(
    _ result: Result<Preparation.Outcome, APIError>?, _ bytes: Int, _ responder: HTTPResponder,
    _ format: LoadReport.Format?, since start: Instant
  ) {
    preparing -= 1
    preparingBytes -= bytes
    responder.onClose = nil
    if let result, responder.isOpen { prepared(result, responder, format, since: start) }
    drainedIfIdle()
  }

  /// The server, for a message that comes back to its loop: it is touched there only.
  private final class Home: @unchecked Sendable {
    weak var server: WorkerServer?

    init(server: WorkerServer) { self.server = server }
  }
}
