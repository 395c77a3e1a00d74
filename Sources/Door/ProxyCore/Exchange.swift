import Balancing
import HTTP
import HTTP1
import Primitives
import Telemetry

/// One client request and its upstream attempts.
///
/// ```
/// inspecting --model is known--> waiting
///
/// waiting --connection--> sending --answer head--> answering --both sides done--> (finished)
///    ^                       |
///    '------- retry ---------'        and from every state: abort --> (finished)
/// ```
struct Exchange {
  enum State: UInt8 {
    /// The begin of the body is awaited, because a guard must know the model.
    case inspecting
    /// No connection yet: one is on its way.
    case waiting
    /// The request is being sent, or the answer awaited.
    case sending
    /// The head of the answer has gone to the client. No retry after this.
    case answering
    /// The connection has been upgraded.
    case tunnel
  }

  let client: Handle
  var upstream = Handle.none
  var state = State.waiting
  /// Serves the whole exchange, whatever is reloaded meanwhile.
  let snapshot: CoreSnapshot

  // The request.
  let method: Method
  let clientIsHTTP11: Bool
  /// The client keeps its connection open.
  var keepAlive: Bool
  /// The client asked for an upgrade and the answer may be 101.
  let wantsUpgrade: Bool
  /// May be sent twice: by its method, by a key, or by the operator's word.
  let isRepeatable: Bool
  /// The client waits for 100 before it sends its body.
  var expectsContinue: Bool
  var requestBody: BodyDecoder
  let requestFraming: Framing
  var requestPayload = 0
  /// Bytes that the body may have; 0 is no limit.
  let bodyLimit: Int
  /// Errors of ours are said in gRPC's way.
  let isGRPC: Bool
  /// When the caller of gRPC has no more use for an answer.
  var callEnds = Instant.never
  /// What the guards keep of it; none for most.
  var passage = Handle.none
  /// What was sent of the request so far, head first, for another attempt.
  var replay = Block()
  /// `replay` holds everything that was sent.
  var canReplay = true

  // The attempt.
  let pool: Int
  var ticket = Ticket.none
  var hasTicket = false
  var tried = SlotSet()
  /// The present attempt was not looked at: the member is well, and may be asked again.
  var wasRefused = false
  var attempts = 0
  /// Something was written to the present connection, and may have arrived.
  var hasSent = false
  /// Writes to the present connection. Count, saturating.
  var writes: UInt8 = 0
  /// The present connection has served before: it may have been closed meanwhile.
  var isReused = false
  var interims = 0

  // The answer.
  var responseBody = BodyDecoder(.none)
  var responseFraming = Framing.none
  var responseEnded = false
  /// The connection may serve again after this answer.
  var upstreamKeepAlive = false
  var verdict = Outcome.Verdict.neutral

  // What is remembered for telemetry.
  var record: RequestRecord
  /// When the last byte of the request was written to the present connection.
  var sentAt = Instant.zero
  /// Method, target, host, id and user agent for the access log; borrowed only when it is on.
  var logText = Block()
  var logFields = LogFields()

  /// What consistent hashing goes by; nil where the pool's policy does not, or the request lacks it.
  var hashKey: UInt64?

  var requestEnded: Bool { requestBody.isFinished }

  /// Another write goes to the present connection.
  mutating func noteWrite() {
    hasSent = true
    if writes < .max { writes += 1 }
  }
}

/// Where the texts of the access log stand in `Exchange.logText`, as lengths in order.
struct LogFields {
  var method: UInt16 = 0
  var target: UInt16 = 0
  var host: UInt16 = 0
  var requestID: UInt16 = 0
  var userAgent: UInt16 = 0
}
