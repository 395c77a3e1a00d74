import Primitives

/// An answer as a backend will give it on a stream: step by step, and how it ends.
struct StreamAnswer {
  enum Step {
    case fields([Field], ends: Bool)
    case body(Range<Int>)
    case end([Field])
    case reset(code: Int)
    /// Data where none may be.
    case wildData
    /// The connection goes, with all its streams.
    case cut(reset: Bool)

    var isContent: Bool {
      switch self {
      case .fields, .body: true
      case .end, .reset, .wildData, .cut: false
      }
    }
  }

  let answer: Answer
  /// Each with the pause before it.
  private(set) var steps: [(pause: TimeAmount, step: Step)] = []
  /// Its head says where it ends: whoever has seen that much need not wait for the stream's end.
  private var saysItsEnd = false
  /// It goes against the whole connection, not only its stream.
  private(set) var isPoison = false

  init(
    _ answer: Answer, requestIsWhole: Bool, _ climate: Climate, _ dice: inout SeededRandom
  ) {
    self.answer = answer
    answer.offset = dice.below(Pattern.period)
    answer.canary = "a\(dice.next() >> 16)"
    if dice.chance(climate.stalled) {
      answer.isWhole = false
      answer.isFaulty = true
      return
    }
    if dice.chance(climate.interim) {
      add(.fields([Field(":status", "103"), Field("x-sim", "hint")], ends: false))
    }
    if dice.chance(climate.interim) { add(.fields([Field(":status", "100")], ends: false)) }
    if dice.chance(climate.malformed) {
      putNonsense(&dice)
    } else {
      put(requestIsWhole, climate, &dice)
      spoil(climate, &dice)
    }
    pause(climate, &dice)
  }

  private mutating func add(_ step: Step) { steps.append((.zero, step)) }

  private var marks: [Field] {
    [Field("x-sim-answer", "\(answer.id)"), Field("x-sim-canary", answer.canary)]
  }

  private mutating func put(
    _ requestIsWhole: Bool, _ climate: Climate, _ dice: inout SeededRandom
  ) {
    answer.status = dice.pick([200, 200, 200, 200, 200, 201, 204, 304, 404])
    if dice.chance(climate.serverError) { answer.status = dice.pick([500, 500, 502, 504]) }
    var extra: [Field] = []
    if dice.chance(climate.backpressure) {
      answer.status = dice.pick([429, 503])
      if dice.chance(0.7) { extra = [Field("retry-after", "\(dice.between(0, 3))")] }
    }
    if !requestIsWhole, dice.chance(0.7) { answer.status = dice.pick([200, 400, 413, 503]) }
    var length = dice.chance(0.1) ? 0 : dice.between(1, 1_200)
    if dice.chance(climate.bigAnswer) { length = dice.between(8_000, 200_000) }
    let isHead = answer.request.method == "HEAD"
    let hasBody = !isHead && answer.status != 204 && answer.status != 304
    answer.length = hasBody ? length : 0
    let isAnnounced = dice.chance(0.5)
    if isAnnounced, hasBody || (isHead && answer.status != 204) {
      extra.append(Field("content-length", "\(length)"))
    }
    saysItsEnd = isAnnounced || !hasBody
    let fields = [Field(":status", "\(answer.status)")] + marks + extra
    guard hasBody, length > 0 else {
      let ends = dice.chance(0.7)
      add(.fields(fields, ends: ends))
      if !ends { add(.end([])) }
      return
    }
    add(.fields(fields, ends: false))
    var position = 0
    while position < length {
      let size = min(length - position, max(dice.between(1, length), length / 10))
      add(.body(position..<(position + size)))
      position += size
    }
    if !isAnnounced, dice.chance(0.2) { answer.trailer = "t\(answer.id)" }
    add(.end(answer.trailer.map { [Field("x-sim-trailer", $0)] } ?? []))
  }

  /// What no client may ever see as an answer.
  private mutating func putNonsense(_ dice: inout SeededRandom) {
    answer.isWhole = false
    answer.isFaulty = true
    answer.length = 5
    let ok = Field(":status", "200")
    var heads: [[Field]] = [
      marks, [Field(":status", "abc")] + marks, [Field(":status", "2000")] + marks,
      [Field(":status", "101")] + marks, [ok] + marks + [Field("connection", "close")],
      [ok] + marks + [Field("X-Upper", "x")], [ok] + marks + [Field("content-length", "x")],
      [ok] + marks + [Field("x-line", "a\r\nb: c")], [ok] + marks + [ok],
      [ok] + marks + [Field("transfer-encoding", "chunked")],
    ]
    // Only where a body is expected is this one wrong.
    if answer.request.method != "HEAD" {
      heads.append([ok] + marks + [Field("content-length", "6")])
    }
    let choice = dice.below(heads.count)
    answer.story = " nonsense \(choice)"
    add(.fields(heads[choice], ends: false))
    add(.body(0..<5))
    add(.end([]))
  }

  /// Cuts the answer short, or adds what nobody asked for.
  private mutating func spoil(_ climate: Climate, _ dice: inout SeededRandom) {
    let isCut = dice.chance(climate.truncated)
    let isReset = !isCut && dice.chance(climate.resetting)
    if isCut || isReset {
      let kept = dice.below(steps.count + 1)
      answer.story = " cut to \(kept) of \(steps.count) steps"
      answer.isFaulty = true
      let lost = steps[kept...]
      steps.removeLast(steps.count - kept)
      if !lost.isEmpty, kept == 0 || !saysItsEnd || lost.contains(where: { $0.step.isContent }) {
        answer.isWhole = false
      }
      if isReset {
        let code = dice.pick([Frame.Code.none, Frame.Code.internalError, Frame.Code.cancel])
        add(dice.chance(0.8) ? .reset(code: code) : .cut(reset: true))
      } else if dice.chance(0.5) {
        add(.cut(reset: false))
      }
    } else if dice.chance(climate.extraBytes) {
      add(.wildData)
      answer.story = " and data behind it"
      answer.isFaulty = true
      isPoison = true
    } else if dice.chance(climate.resetting) {
      // Whole it is all the same.
      add(.reset(code: dice.pick([Frame.Code.none, Frame.Code.cancel])))
      answer.story = " and a reset behind it"
    }
  }

  /// A stream of tokens, or a kernel's whim.
  private mutating func pause(_ climate: Climate, _ dice: inout SeededRandom) {
    guard dice.chance(climate.streaming) else { return }
    for place in steps.indices.dropFirst() { steps[place].pause = dice.milliseconds(0, 30) }
    if steps.count > 1, dice.chance(0.1) {
      steps[1 + dice.below(steps.count - 1)].pause = .seconds(1)
    }
  }

  /// All that its head announces has been said: only the end may be missing.
  var hasSaidAll: Bool { saysItsEnd && !steps.contains { $0.step.isContent } }

  mutating func next() { steps.removeFirst() }

  /// The next step waited for its pause.
  mutating func pauseIsOver() { if !steps.isEmpty { steps[0].pause = .zero } }
}
