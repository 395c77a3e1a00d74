import Primitives

/// What was asked for, and what became of it. The truth to which both ends are held.
final class Request {
  enum Outcome: Equatable {
    /// The client has one whole answer of a backend.
    case answered(status: Int)
    /// ... or of the front door itself.
    case refused(status: Int)
    /// An answer had begun and its connection ended before it.
    case cut
    /// The connection ended, and not a byte of an answer had come.
    case unanswered
    /// The client left on its own.
    case left
    case tunnelled
  }

  let id: Int
  let user: Int
  var method = "GET"
  var target = "/"
  var host = "sim.example"
  /// nil: no body.
  var length: Int?
  var isChunked = false
  /// Of its body in the pattern.
  var offset = 0
  var canary = ""
  var isHTTP10 = false
  var closes = false
  var expectsContinue = false
  var hasKey = false
  var wantsTunnel = false
  /// It travels as a stream of HTTP/2.
  var isStream = false
  /// What its trailer says, where it has one.
  var trailer: String?
  /// Goes to a pool.
  var isForwarded = true
  /// May not reach a backend whole: its syntax is wrong.
  var isBroken = false
  /// The client sends, reads or stays as it should.
  var isHonest = true

  /// Bytes of the connection up to the request's end.
  var endOffset = Int.max
  var begunAt = Instant.zero
  var sentAt = Instant.zero
  var firstByteAt: Instant?
  var attempts: [Attempt] = []
  /// What the client sees of.
  var answer: Answer?
  /// What a backend said last.
  var lastSaid: Answer?
  var ownStatus = 0
  var received = 0
  /// Of its answer, as it came.
  var trailerSeen: String?
  var outcome: Outcome?

  init(id: Int, user: Int) {
    self.id = id
    self.user = user
  }

  /// Its answer, if any, has come whole.
  var isDone = false

  /// A backend may answer before it has read the wrong part.
  var isAnswerableEarly: Bool { target != "garbage" }

  var isIdempotent: Bool {
    hasKey || ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"].contains(method)
  }

  var tag: String { "request \(id) (\(method) \(target) of user \(user))" }
}

/// One backend's share in a request.
final class Attempt {
  let place: Int
  let at: Instant
  /// Its body has come whole.
  var isComplete = false
  /// The backend works on it no more.
  var isOver = false
  /// By which it came.
  weak var link: Link?

  init(place: Int, at: Instant, link: Link) {
    self.place = place
    self.at = at
    self.link = link
  }
}

/// What a backend said, or set out to say.
final class Answer {
  let id: Int
  let request: Request
  var status = 200
  /// Of the body that goes to the client: none for HEAD, 204 and 304.
  var length = 0
  var offset = 0
  var canary = ""
  /// What its trailer says, where it has one.
  var trailer: String?
  /// All of it was, or will be, sent as HTTP wants it.
  var isWhole = true
  /// The backend fell silent, closed or said nonsense.
  var isFaulty = false
  /// What is wrong with it, for people.
  var story = ""

  init(id: Int, request: Request) {
    self.id = id
    self.request = request
  }
}
