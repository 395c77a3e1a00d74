import EventLoop
import GRPC
import Primitives

/// Answers calls. Called on the server's loop only.
package protocol GRPCHandler: AnyObject {
  /// A call has begun, none of its messages has come. To be answered at once, or by setting what it
  /// should be told of.
  func begin(_ call: GRPCCall)
  /// When the handler wants `deadlinePassed`; asked once at the end of each turn.
  var nextDeadline: Instant { get }
  func deadlinePassed(at now: Instant)
  /// The server ends: what would go on for ever ends now.
  func drain()
}

/// One call, of any of the four kinds: messages in and out, and a status at its end.
///
/// ```
/// open --finish--> over                     (by us: the status is the last thing that is sent)
///    \---the client cancels, leaves, or is out of time--> over: onClose is called
/// ```
/// Calls to one that is over do nothing, so a late token is harmless. Lives on the server's loop.
package final class GRPCCall {
  package let path: String
  /// When the client will not wait any longer; `never` where it did not say.
  package let deadline: Instant
  private let fields: CallFields
  /// A message, whole.
  package var onMessage: (([UInt8]) -> Void)?
  /// The client sends nothing more.
  package var onEnd: (() -> Void)?
  /// Called once when the call is over and `finish` was not the reason.
  package var onClose: (() -> Void)?
  /// Called when there is room again after `send` returned false.
  package var onWritable: (() -> Void)?

  weak var connection: GRPCConnection?
  let stream: Int
  var handle = Handle.none
  var reader: MessageReader
  /// Bytes that came and were not given back to the windows.
  var unconsumed = 0
  /// Bytes of its half message that count in the server's sum.
  var countedBytes = 0
  var isInputEnded = false
  var isInputTold = false
  var isPaused = false
  var isCongested = false
  var hasHead = false
  private(set) var isOver = false

  init(
    path: String, fields: CallFields, deadline: Instant, stream: Int, connection: GRPCConnection,
    messageBytes: Int
  ) {
    self.path = path
    self.deadline = deadline
    self.fields = fields
    self.stream = stream
    self.connection = connection
    reader = MessageReader(limitBytes: messageBytes)
  }

  /// The loop that it lives on; nil once the connection is gone.
  package var loop: EventLoop? { connection?.responder.loop }

  /// Can still be answered.
  package var isOpen: Bool { !isOver }

  /// The value of the first field of that name, which is given in lower case.
  package func field(_ name: String) -> String? { fields[name] }

  /// Bytes that the client has not taken yet.
  package var unsentBytes: Int { connection?.unsentBytes(self) ?? 0 }

  /// Sends a message. False asks the caller to wait for `onWritable`; it is taken in any case.
  @discardableResult
  package func send(_ message: [UInt8]) -> Bool {
    guard !isOver, let connection else { return false }
    return connection.send(message, on: self)
  }

  /// Ends the call.
  package func finish(_ status: GRPCStatus) {
    guard !isOver, let connection else { return }
    leave()
    connection.finish(self, status)
  }

  /// Ends the call without a status, at once: what waits to be sent is dropped.
  package func reset() {
    guard !isOver, let connection else { return }
    leave()
    connection.reset(self)
  }

  /// No more messages for now: the client's window closes, and it has to wait.
  package func pause() { isPaused = true }

  package func resume() {
    guard isPaused else { return }
    isPaused = false
    connection?.resumed(self)
  }

  /// The call is over before it was answered.
  func close() {
    guard !isOver else { return }
    let notice = onClose
    leave()
    notice?()
  }

  /// Lets go of everything that may hold this call in a circle.
  private func leave() {
    isOver = true
    reader = MessageReader()
    onMessage = nil
    onEnd = nil
    onClose = nil
    onWritable = nil
  }

  // MARK: Kinds

  /// For calls that have one message and one answer. A second message, or none, is the client's fault.
  package func unary(_ handle: @escaping ([UInt8]) -> Void) {
    var only: [UInt8]?
    onMessage = { [weak self] message in
      guard only == nil else {
        self?.finish(GRPCStatus(.internal, "This method takes one message; a second one came."))
        return
      }
      only = message
    }
    onEnd = { [weak self] in
      guard let only else {
        self?.finish(GRPCStatus(.internal, "This method takes one message; none came."))
        return
      }
      handle(only)
    }
  }
}

/// The fields of a call's head, as lines of `name: value`.
struct CallFields {
  let lines: [UInt8]

  /// The value of the first field of that name, which is given in lower case.
  subscript(_ name: String) -> String? {
    for line in lines.split(separator: 0x0a) where line.count > name.utf8.count {
      guard line[line.startIndex + name.utf8.count] == UInt8(ascii: ":"),
        line.starts(with: name.utf8)
      else { continue }
      let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x0d || $0 == 0x09 }
      let value = line[(line.startIndex + name.utf8.count + 1)...].drop(while: isSpace)
      let tail = value.reversed().prefix(while: isSpace).count
      return String(decoding: value.dropLast(tail), as: UTF8.self)
    }
    return nil
  }
}
