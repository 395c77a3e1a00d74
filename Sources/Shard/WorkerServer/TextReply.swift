import EventLoop
import HTTPServer
import WorkerAPI

/// Who gets a job's texts, in the shape of one API and by one way. A job calls it in this order, and
/// never after `end`, `refuse`, `fail` or `reset`:
/// ```
/// whole:     end                      | refuse
/// streamed:  begin (show* close)* end | refuse, before begin | fail, behind it
/// ```
/// Lives on the server's loop.
protocol TextReply: AnyObject {
  /// nil once the server is gone.
  var loop: EventLoop? { get }
  var isOpen: Bool { get }
  /// Bytes that the client has not taken yet.
  var unsentBytes: Int { get }
  /// Called once when the client has left before the end.
  var onClose: (() -> Void)? { get set }

  /// The head of a streamed answer; until then an error has a status.
  func begin(_ job: Job)
  /// A piece of a text, with the log probabilities that belong to it.
  func show(_ job: Job, _ choice: Choice, _ shown: String)
  /// One text of a streamed answer is over.
  func close(_ job: Job, _ choice: Choice)
  /// All texts are over.
  func end(_ job: Job)

  /// A whole answer that needed no texts.
  func respond(_ body: [UInt8])
  /// An error as the whole answer.
  func refuse(_ error: APIError)
  /// An error in the middle of a stream, which must not look whole afterwards.
  func fail(_ error: APIError)
  /// Gives a client up that does not read.
  func reset()
}

/// Everything about replies over HTTP/1.1 but their shapes.
class HTTPReply {
  let responder: HTTPResponder

  init(_ responder: HTTPResponder) { self.responder = responder }

  final var loop: EventLoop? { responder.loop }
  final var isOpen: Bool { responder.isOpen }
  final var unsentBytes: Int { responder.unsentBytes }
  final var onClose: (() -> Void)? {
    get { responder.onClose }
    set { responder.onClose = newValue }
  }

  final func respond(_ body: [UInt8]) {
    responder.respond(200, contentType: "application/json", body: body)
  }

  final func reset() {
    responder.onClose = nil
    responder.reset()
  }

  static let eventStream = "text/event-stream; charset=utf-8"
}
