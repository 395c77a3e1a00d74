import EventLoop
import HTTP
import HTTPServer
import Primitives

/// One request of an engine, from its arrival to its last token.
///
/// ```
/// waiting --slot--> running: [time to first token] token [gap] token ... end
///                       '--fault--> reset | stalled | cut | dripping
/// ```
struct Generation {
  let responder: HTTPResponder
  let engine: Int
  /// As they were when it came, with what it asked for itself.
  let settings: MockSettings
  let answer: MockAnswer
  let isStreamed: Bool
  /// Has tokens that take time, which an embedding has not.
  let isText: Bool
  let fields: [(String, String)]
  var isRunning = false
  var hasBegun = false
  /// Tokens sent.
  var sent = 0
  /// When something happens next.
  var due = Instant.never
  /// When the heap brings it up.
  var visit = Instant.never
  /// The answer byte by byte, and how many are sent.
  var drip: [UInt8] = []
  var dripped = 0
}

extension MockHandler {
  /// Visits are moved up to the next multiple of this, so that many streams share a turn: 40,000
  /// events per second cost at most 4,000 turns.
  private static let visitGrain: Int64 = 250_000
  /// Tokens of one stream in one visit, when their gap is nothing.
  private static let tokensPerVisit = 64

  // MARK: Slots

  func enqueue(_ handle: Handle, on index: Int) {
    engines[index].queue.append(handle)
    engines[index].waiting += 1
    admitWaiting(index, at: EventLoop.now())
  }

  /// Gives free slots to those that wait, first come first served.
  func admitWaiting(_ index: Int, at now: Instant) {
    let slots = engines[index].settings.slots
    var taken = 0
    while taken < engines[index].queue.count, slots == 0 || engines[index].running < slots {
      let handle = engines[index].queue[taken]
      taken += 1
      guard let generation = generations.pointer(handle) else { continue }
      engines[index].waiting -= 1
      engines[index].running += 1
      generation.pointee.isRunning = true
      let settings = generation.pointee.settings
      let delay = stretched(settings.firstToken, settings.slowdown, settings.jitter, index)
      generation.pointee.due = now + delay
      if settings.head == .early, settings.fault?.replacesAnswer != true {
        begin(generation)
      }
      schedule(handle, generation, at: now)
    }
    engines[index].queue.removeFirst(taken)
  }

  /// The time of a request that runs alone, made longer by the others and by chance.
  private func stretched(
    _ time: TimeAmount, _ slowdown: Double, _ jitter: Double, _ index: Int
  ) -> TimeAmount {
    var factor = 1 + slowdown * Double(engines[index].running - 1)
    if jitter > 0 { factor *= 1 + jitter * (2 * random.unit() - 1) }
    return .nanoseconds(Int64(Double(time.nanoseconds) * factor))
  }

  /// Forgets the request and passes its slot on.
  private func remove(_ handle: Handle) {
    guard let generation = generations.pointer(handle) else { return }
    let index = generation.pointee.engine
    if generation.pointee.isRunning {
      engines[index].running -= 1
    } else {
      engines[index].waiting -= 1
    }
    generations.remove(handle)
    admitWaiting(index, at: EventLoop.now())
  }

  func clientLeft(_ handle: Handle) {
    guard let generation = generations.pointer(handle) else { return }
    engines[generation.pointee.engine].served.aborted += 1
    remove(handle)
  }

  // MARK: Time

  var nextDeadline: Instant { deadlines.next }

  func deadlinePassed(at now: Instant) {
    while let (handle, visit) = deadlines.popDue(at: now) {
      guard let generation = generations.pointer(handle), generation.pointee.visit == visit
      else { continue }
      generation.pointee.visit = .never
      if generation.pointee.due <= now { step(handle, generation, at: now) }
      // It may be gone by now.
      if let generation = generations.pointer(handle) { schedule(handle, generation, at: now) }
    }
  }

  private func schedule(
    _ handle: Handle, _ generation: UnsafeMutablePointer<Generation>, at now: Instant
  ) {
    let due = generation.pointee.due
    guard due != .never else { return }
    let grain = Self.visitGrain
    let rounded = Instant(nanoseconds: (due.nanoseconds + grain - 1) / grain * grain)
    let visit = DeadlineHeap.visit(rounded, at: now)
    guard visit < generation.pointee.visit else { return }
    generation.pointee.visit = visit
    deadlines.schedule(handle, at: visit)
  }

  // MARK: What happens when it is due

  private func step(
    _ handle: Handle, _ generation: UnsafeMutablePointer<Generation>, at now: Instant
  ) {
    if !generation.pointee.drip.isEmpty { return dripOne(handle, generation) }
    let responder = generation.pointee.responder
    switch generation.pointee.settings.fault {
    case .reset(nil):
      responder.reset()
      return remove(handle)
    case .stall(nil):
      generation.pointee.due = .never
    case .garbage:
      responder.takeOver()
      responder.write("\u{16}\u{3}\u{1}HTTP/9 garbage of a mock\n\n\u{0}\u{7f}")
      responder.end()
      remove(handle)
    case .drip:
      responder.takeOver()
      generation.pointee.drip = rawAnswer(generation.pointee)
      dripOne(handle, generation)
    case nil, .status, .reset, .stall, .truncate:
      if generation.pointee.isStreamed {
        stream(handle, generation, at: now)
      } else {
        answerWhole(handle, generation)
      }
    }
  }

  private func begin(_ generation: UnsafeMutablePointer<Generation>) {
    guard generation.pointee.isStreamed, !generation.pointee.hasBegun else { return }
    generation.pointee.hasBegun = true
    generation.pointee.responder.beginStream(
      200, contentType: "text/event-stream; charset=utf-8",
      fields: generation.pointee.fields + [("Cache-Control", "no-cache")])
  }

  /// Sends the tokens that are due.
  private func stream(
    _ handle: Handle, _ generation: UnsafeMutablePointer<Generation>, at now: Instant
  ) {
    let responder = generation.pointee.responder
    let settings = generation.pointee.settings
    let limit = settings.fault?.place ?? .max
    let index = generation.pointee.engine
    scratch.removeAll(keepingCapacity: true)
    if generation.pointee.sent == 0 {
      begin(generation)
      generation.pointee.answer.appendRole(to: &scratch)
    }
    var burst = 0
    let tokens = generation.pointee.answer.tokens
    while generation.pointee.sent < min(tokens, limit), generation.pointee.due <= now,
      burst < Self.tokensPerVisit
    {
      generation.pointee.answer.appendToken(generation.pointee.sent, to: &scratch)
      generation.pointee.sent += 1
      burst += 1
      if generation.pointee.sent < tokens {
        let gap = stretched(settings.gap, settings.gapSlowdown, settings.jitter, index)
        // A late turn is not made up for by a burst.
        let next = generation.pointee.due + gap
        generation.pointee.due = gap == .zero ? next : max(next, now)
      }
    }
    engines[index].served.generatedTokens += burst
    if generation.pointee.sent >= limit {
      send(responder)
      return fail(handle, generation)
    }
    guard generation.pointee.sent == tokens else {
      if !send(responder) { pause(handle, generation) }
      return
    }
    generation.pointee.answer.appendEnd(to: &scratch)
    send(responder)
    complete(handle, generation)
    responder.end()
  }

  @discardableResult
  private func send(_ responder: HTTPResponder) -> Bool {
    scratch.withUnsafeBytes { responder.write($0) }
  }

  /// A client that reads slowly gets the next token when it has read what waits.
  private func pause(_ handle: Handle, _ generation: UnsafeMutablePointer<Generation>) {
    generation.pointee.due = .never
    generation.pointee.responder.onWritable = { [unowned self] in
      guard let generation = generations.pointer(handle) else { return }
      generation.pointee.responder.onWritable = nil
      let now = EventLoop.now()
      generation.pointee.due = now
      schedule(handle, generation, at: now)
    }
  }

  /// The whole answer at once, when its last token is due.
  private func answerWhole(_ handle: Handle, _ generation: UnsafeMutablePointer<Generation>) {
    let settings = generation.pointee.settings
    let responder = generation.pointee.responder
    let tokens = generation.pointee.answer.tokens
    let index = generation.pointee.engine
    if !generation.pointee.hasBegun {
      generation.pointee.hasBegun = true
      let count = generation.pointee.isText ? min(tokens, settings.fault?.place ?? tokens) : 1
      let gap = stretched(settings.gap, settings.gapSlowdown, settings.jitter, index)
      let rest = TimeAmount.nanoseconds(gap.nanoseconds * Int64(max(0, count - 1)))
      if rest > .zero {
        generation.pointee.due = generation.pointee.due + rest
        return
      }
    }
    if settings.fault?.place != nil {
      responder.takeOver()
      let raw = rawAnswer(generation.pointee)
      // All of the head, and half of the body that it promises.
      let body = generation.pointee.answer.whole.utf8.count
      responder.write(Array(raw[..<(raw.count - body / 2)]))
      return fail(handle, generation)
    }
    if generation.pointee.isText { engines[index].served.generatedTokens += tokens }
    let whole = generation.pointee.answer.whole
    let fields = generation.pointee.fields
    complete(handle, generation)
    responder.respond(200, contentType: "application/json", fields: fields, whole)
  }

  private func complete(_ handle: Handle, _ generation: UnsafeMutablePointer<Generation>) {
    let index = generation.pointee.engine
    if generation.pointee.answer.isCutShort {
      engines[index].served.cutShort += 1
    } else {
      engines[index].served.stopped += 1
    }
    remove(handle)
  }

  // MARK: Faults

  /// Does what was asked for after the tokens that were to come before it.
  private func fail(_ handle: Handle, _ generation: UnsafeMutablePointer<Generation>) {
    let responder = generation.pointee.responder
    switch generation.pointee.settings.fault {
    case .reset:
      responder.reset()
      remove(handle)
    case .truncate:
      responder.cut()
      remove(handle)
    case nil, .status, .stall, .drip, .garbage:
      // It holds its slot until the client leaves.
      generation.pointee.due = .never
    }
  }

  /// The answer as bytes of our own: for a drip that includes the head, and for half a body.
  private func rawAnswer(_ generation: Generation) -> [UInt8] {
    var body: [UInt8] = []
    if generation.isStreamed {
      generation.answer.appendRole(to: &body)
      for index in 0..<generation.answer.tokens { generation.answer.appendToken(index, to: &body) }
      generation.answer.appendEnd(to: &body)
    } else {
      body = Array(generation.answer.whole.utf8)
    }
    let type = generation.isStreamed ? "text/event-stream; charset=utf-8" : "application/json"
    let fields = generation.fields.map { "\($0): \($1)\r\n" }.joined()
    let head =
      "HTTP/1.1 200 OK\r\nContent-Type: \(type)\r\n\(fields)Content-Length: \(body.count)\r\n"
      + "Connection: close\r\n\r\n"
    return Array(head.utf8) + body
  }

  private func dripOne(_ handle: Handle, _ generation: UnsafeMutablePointer<Generation>) {
    guard case .drip(let interval) = generation.pointee.settings.fault else { return }
    let place = generation.pointee.dripped
    let responder = generation.pointee.responder
    responder.write([generation.pointee.drip[place]])
    generation.pointee.dripped += 1
    generation.pointee.due = generation.pointee.due + interval
    guard generation.pointee.dripped == generation.pointee.drip.count else { return }
    complete(handle, generation)
    responder.end()
  }
}

extension MockFault {
  /// Nothing of a proper answer is sent before it.
  fileprivate var replacesAnswer: Bool {
    switch self {
    case .status, .drip, .garbage, .reset(nil), .stall(nil): true
    case .reset, .stall, .truncate: false
    }
  }

  /// Tokens that come before it.
  fileprivate var place: Int? {
    switch self {
    case .reset(let place), .stall(let place): place
    case .truncate(let place): place
    case .status, .drip, .garbage: nil
    }
  }
}
