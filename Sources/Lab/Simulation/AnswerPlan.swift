import HTTP
import Primitives

/// An answer as a backend will send it: its bytes, in which pieces, and how it ends.
struct AnswerPlan {
  enum End: Equatable {
    case keep
    case finish
    case reset
    /// Nothing more ever comes.
    case silence
  }

  struct Piece {
    var bytes: Int
    var pause: TimeAmount
  }

  var answer: Answer?
  var pieces: [Piece] = []
  var end = End.keep
  var opensTunnel = false
  /// Bytes of the answer itself; what comes behind them was not asked for.
  var ownBytes = 0
  /// Not even a first byte.
  var isSilent = false

  init() {}

  init(
    _ answer: Answer, requestIsWhole: Bool, _ climate: Climate, _ dice: inout SeededRandom,
    into output: ByteQueue
  ) {
    self.answer = answer
    output.removeAll()
    answer.offset = dice.below(Pattern.period)
    answer.canary = "a\(dice.next() >> 16)"
    if dice.chance(climate.stalled) {
      isSilent = true
      answer.isWhole = false
      answer.isFaulty = true
      end = .silence
      return
    }
    if dice.chance(climate.interim) {
      output.append("HTTP/1.1 103 Early Hints\r\nX-Sim: hint\r\n\r\n")
    }
    if dice.chance(climate.interim) { output.append("HTTP/1.1 100 Continue\r\n\r\n") }
    if answer.request.wantsTunnel, dice.chance(0.9) {
      output.append(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
          + "X-Sim-Answer: \(answer.id)\r\nX-Sim-Canary: \(answer.canary)\r\n\r\n")
      answer.status = 101
      opensTunnel = true
      ownBytes = output.count
      pieces = [Piece(bytes: output.count, pause: .zero)]
      return
    }
    if dice.chance(climate.malformed) {
      putNonsense(answer, &dice, output)
    } else {
      put(answer, requestIsWhole, climate, &dice, output)
    }
    ownBytes = output.count
    spoil(answer, climate, &dice, output)
    cut(answer, climate, &dice, output)
  }

  private mutating func put(
    _ answer: Answer, _ requestIsWhole: Bool, _ climate: Climate, _ dice: inout SeededRandom,
    _ output: ByteQueue
  ) {
    answer.status = dice.pick([200, 200, 200, 200, 200, 201, 204, 304, 404])
    if dice.chance(climate.serverError) { answer.status = dice.pick([500, 500, 502, 504]) }
    var extra = ""
    if dice.chance(climate.backpressure) {
      answer.status = dice.pick([429, 503])
      if dice.chance(0.7) { extra = "Retry-After: \(dice.between(0, 3))\r\n" }
    }
    if !requestIsWhole, dice.chance(0.7) { answer.status = dice.pick([200, 400, 413, 503]) }
    var length = dice.chance(0.1) ? 0 : dice.between(1, 1_200)
    if dice.chance(climate.bigAnswer) { length = dice.between(8_000, 200_000) }
    let hasBody = answer.request.method != "HEAD" && answer.status != 204 && answer.status != 304
    answer.length = hasBody ? length : 0
    if dice.chance(0.1) { extra += "Keep-Alive: timeout=\(dice.between(1, 5))\r\n" }
    var head = "\(answer.status) \(reasonPhrase(answer.status))\r\nX-Sim-Answer: \(answer.id)\r\n"
    head += "X-Sim-Canary: \(answer.canary)\r\n\(extra)"
    let framing = dice.below(10)
    answer.story = " framing \(framing)"
    if !hasBody {
      if answer.request.method == "HEAD" { head += "Content-Length: \(length)\r\n" }
      output.append("HTTP/1.1 \(head)\r\n")
    } else if framing < 5 {
      output.append("HTTP/1.1 \(head)Content-Length: \(length)\r\n\r\n")
      output.appendBody(answer.offset, 0..<length)
    } else if framing < 9 {
      output.append("HTTP/1.1 \(head)Transfer-Encoding: chunked\r\n\r\n")
      putChunks(answer, &dice, output)
    } else {
      output.append("HTTP/1.\(dice.below(2)) \(head)Connection: close\r\n\r\n")
      output.appendBody(answer.offset, 0..<length)
      end = .finish
    }
    if end == .keep, !requestIsWhole, dice.chance(0.6) { end = .finish }
  }

  private func putChunks(_ answer: Answer, _ dice: inout SeededRandom, _ output: ByteQueue) {
    var position = 0
    let largest = dice.pick([5, 90, 700, 40_000])
    while position < answer.length {
      let size = min(answer.length - position, max(dice.between(1, largest), answer.length / 50))
      output.append("\(String(size, radix: 16))\r\n")
      output.appendBody(answer.offset, position..<(position + size))
      output.append("\r\n")
      position += size
    }
    if dice.chance(0.1) { answer.trailer = "t\(answer.id)" }
    let trailer = answer.trailer.map { "X-Sim-Trailer: \($0)\r\n" } ?? ""
    output.append("0\r\n\(trailer)\r\n")
  }

  /// What no client may ever see as an answer.
  private mutating func putNonsense(
    _ answer: Answer, _ dice: inout SeededRandom, _ output: ByteQueue
  ) {
    let mark = "X-Sim-Answer: \(answer.id)\r\nX-Sim-Canary: \(answer.canary)\r\n"
    answer.isWhole = false
    answer.isFaulty = true
    answer.length = 5
    var choices = [
      "nonsense\r\n\r\n",
      "HTTP/1.1 200 OK\n\(mark)\n",
      "HTTP/1.1 2000 OK\r\n\(mark)\r\n",
      "HTTP/1.1 200 OK\r\n\(mark)Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
      "HTTP/1.1 200 OK\r\n\(mark)Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\n\(mark)Transfer-Encoding: gzip\r\n\r\nhello",
      "\u{16}\u{03}\u{01}\u{02}",
    ]
    // These are nonsense only where a body is expected, and where nobody asked for an upgrade.
    if answer.request.method != "HEAD" {
      choices.append("HTTP/1.1 200 OK\r\n\(mark)Transfer-Encoding: chunked\r\n\r\nfive\r\n")
    }
    if !answer.request.wantsTunnel {
      choices.append(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello")
    }
    let choice = dice.pick(choices)
    answer.story = "nonsense \(choice.prefix(40).debugDescription)"
    output.append(choice)
    end = dice.chance(0.5) ? .finish : .keep
  }

  /// Cuts the answer short, or adds what nobody asked for.
  private mutating func spoil(
    _ answer: Answer, _ climate: Climate, _ dice: inout SeededRandom, _ output: ByteQueue
  ) {
    let isCut = dice.chance(climate.truncated)
    let isReset = !isCut && dice.chance(climate.resetting)
    if isCut || isReset {
      answer.isFaulty = true
      // Where only the end of the connection ends an answer, nobody can tell a clean cut from it.
      let wasUntilClose = end == .finish
      let kept = dice.below(output.count)
      if kept < output.count { answer.isWhole = false }
      answer.story += " cut to \(kept) of \(output.count) bytes"
      output.truncate(to: kept)
      end = isReset || wasUntilClose ? .reset : dice.pick([.finish, .silence])
    } else if dice.chance(climate.extraBytes), end == .keep {
      // A backend that goes on after this puts every later answer one place off, and HTTP/1.1 has no
      // means against it. So it does not go on.
      output.append("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
      end = .finish
      answer.isFaulty = true
      answer.story += " and bytes behind it"
    }
  }

  /// Into pieces with pauses: a stream of tokens, or a kernel's whim.
  private mutating func cut(
    _ answer: Answer, _ climate: Climate, _ dice: inout SeededRandom, _ output: ByteQueue
  ) {
    guard output.count > 1, dice.chance(climate.streaming) else {
      pieces = [Piece(bytes: output.count, pause: .zero)]
      return
    }
    let count = dice.between(2, 12)
    var rest = output.count
    var hasPaused = false
    for _ in 0..<count where rest > 1 {
      let bytes = dice.between(1, max(1, 2 * rest / count))
      // One long silence at most: a head has its time limit.
      let isLong = !hasPaused && dice.chance(0.02)
      if isLong { hasPaused = true }
      let pause: TimeAmount = isLong ? .seconds(1) : dice.milliseconds(0, 30)
      pieces.append(Piece(bytes: min(bytes, rest), pause: pause))
      rest -= min(bytes, rest)
    }
    if rest > 0 { pieces.append(Piece(bytes: rest, pause: .zero)) }
  }
}
