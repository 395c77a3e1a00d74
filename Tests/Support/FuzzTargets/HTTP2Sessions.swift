import HTTP
import HTTP1
import HTTP2
import Primitives
import Transcode

/// A client against our server. The first byte says whether it answers.
func checkHTTP2Server(_ bytes: UnsafeRawBufferPointer) throws {
  guard let first = bytes.first else { return }
  let script = HTTP2Script(bytes.dropFirst(), isClient: true)
  try checkSession(.server, script.wire, answers: first & 1 != 0, bytes.seed)
}

/// A server against our client, which has sent requests. The first byte says how many.
func checkHTTP2Client(_ bytes: UnsafeRawBufferPointer) throws {
  guard let first = bytes.first else { return }
  let script = HTTP2Script(bytes.dropFirst(), isClient: false)
  try checkSession(
    .client, script.wire, answers: first & 1 != 0, bytes.seed, requests: 1 + Int(first >> 1 & 7))
}

private func checkSession(
  _ role: HTTP2Role, _ wire: [UInt8], answers: Bool, _ seed: UInt64, requests: Int = 0
) throws {
  let whole = try Run(role, wire, answers: answers, requests: requests, cutBy: nil)
  let cut = try Run(
    role, wire, answers: answers, requests: requests, cutBy: SeededRandom(seed: seed))
  // What we send in between changes what the peer's next frames mean, so only who is silent sees
  // the same however the bytes are cut.
  guard !answers else { return }
  try require(same: cut.log, whole.log, "events in pieces and at once")
  try require(same: cut.failed, whole.failed, "failed in pieces and at once")
}

/// One session from its first byte to its end.
private struct Run {
  /// What is known of a stream, by its place.
  private struct Stream {
    var number: Int32
    var hasHead = false
    var announced: UInt64?
    var bytes: UInt64 = 0
    var hasEnded = false
    var isAnswered = false
    var method = Method.get
  }

  /// What happened on each stream, by its number; 0 for the connection.
  ///
  /// Not pongs and settings, nor the order among streams, nor a second GOAWAY: behind one that ends
  /// all streams nothing is read where an input begins there.
  private(set) var log: [Int32: [String]] = [:]
  private(set) var failed = false
  private var streams: [Int: Stream] = [:]
  private let role: HTTP2Role
  private let session: HTTP2Session
  private let inbox: HTTP2Inbox
  private let answers: Bool
  private let settings = HTTP2Settings(
    streamLimit: 6, headBytes: 1_000, fields: 24, resetBurst: 12, glitchBurst: 20)

  init(
    _ role: HTTP2Role, _ wire: [UInt8], answers: Bool, requests: Int, cutBy random: SeededRandom?
  ) throws {
    self.role = role
    self.answers = answers
    inbox = HTTP2Inbox()
    session = HTTP2Session(role, settings, inbox: inbox, at: .zero)
    defer {
      session.free()
      inbox.free()
    }
    for number in 0..<requests { ask(number) }
    if answers { try flush() }
    var random = random
    var position = 0
    while position < wire.count, !failed {
      var count = wire.count - position
      if random != nil {
        let limit = random!.below(3) == 0 ? 300 : 12
        count = min(count, 1 + random!.below(limit))
      }
      try Array(wire[position..<(position + count)]).withExact { input in
        failed = !session.receive(input, at: .zero)
        try readInbox()
      }
      position += count
      if answers { try flush() }
    }
    try flush()
    try readInbox()
    try require(
      session.openStreams >= streams.count, "\(streams.count) streams, \(session.openStreams) open")
  }

  private mutating func ask(_ number: Int) {
    var fields = HTTP2Fields()
    let (get, head, path) = (Array("GET".utf8), Array("HEAD".utf8), Array("/".utf8))
    let method = number % 3 == 2 ? head : get
    method.withUnsafeBytes { method in
      path.withUnsafeBytes { path in
        fields.begin(nameBytes: 64)
        fields.add(":method", method)
        fields.add(":scheme", path)
        fields.add(":path", path)
        fields.add(":authority", path)
        if let place = session.submitRequest(fields, ends: number % 2 == 0, owner: .none) {
          streams[place] = Stream(number: session.id(of: place))
          streams[place]!.method = number % 3 == 2 ? .head : .get
        }
      }
    }
  }

  private mutating func note(_ stream: Int32, _ what: String) {
    log[stream, default: []].append(what)
  }

  // MARK: What comes

  private mutating func readInbox() throws {
    for index in 0..<inbox.count {
      guard let event = inbox[index] else { continue }
      try take(event)
    }
    inbox.clear()
  }

  private mutating func take(_ event: HTTP2Event) throws {
    switch event {
    case .head(let place, let head):
      if role == .server, streams[place] == nil {
        streams[place] = Stream(number: session.id(of: place))
      }
      try takeHead(place, head)
    case .data(let place, let bytes):
      guard let stream = streams[place], stream.hasHead else {
        throw BrokenRule("data before a head")
      }
      try require(!stream.hasEnded, "data behind the end of stream \(stream.number)")
      streams[place]!.bytes += UInt64(bytes.count)
      // Read, so that what does not stand there is noticed.
      let sum = bytes.reduce(0) { $0 &+ Int($1) }
      try require(sum >= 0, "bytes")
      session.consume(place, bytes.count)
      if log[stream.number]?.last != "data" { note(stream.number, "data") }
    case .trailers(let place, let lines):
      guard let stream = streams[place] else { throw BrokenRule("trailers before a head") }
      try require(!stream.hasEnded, "trailers behind the end")
      let text = lines.array(in: inbox.text)
      let plain = try PlainHead(Array("x\r\n".utf8) + text + [0x0d, 0x0a])
      try areClean(plain, "trailers")
      note(stream.number, "trailers \(spelled(text))")
    case .ended(let place):
      guard let stream = streams[place], stream.hasHead else {
        throw BrokenRule("an end before a head")
      }
      try require(!stream.hasEnded, "stream \(stream.number) ends twice")
      streams[place]!.hasEnded = true
      if let announced = stream.announced {
        try require(same: stream.bytes, announced, "bytes of stream \(stream.number)")
      }
      note(stream.number, "ended after \(stream.bytes)")
      if answers { answer(place) }
    case .closed(let place, let code):
      guard let stream = streams.removeValue(forKey: place) else {
        // Refused before anything of it was told.
        session.release(place)
        return
      }
      try require(session.isClosed(place), "closed, and not")
      note(stream.number, "closed \(code)")
      session.release(place)
    case .goAway(let last, let code):
      if log[0] == nil { note(0, "goaway \(last) \(code)") }
    case .settingsChanged, .settingsAcknowledged, .pong: break
    }
  }

  /// What a head says in HTTP/1.1 is one head, or nothing.
  private mutating func takeHead(_ place: Int, _ head: HTTP2Head) throws {
    let stream = streams[place]!
    try require(!stream.hasEnded, "a head behind the end of stream \(stream.number)")
    try require(Int(head.lines.count) <= 4_000, "a head of \(head.lines.count) bytes was kept")
    var gather = Gather()
    let text: [UInt8]
    switch role {
    case .server:
      try require(!stream.hasHead, "two heads of stream \(stream.number)")
      let outcome = RequestText.write(
        head, inbox.text, .open, room: 0, into: &gather, body: { _ in 0 })
      guard case .text(let bytes) = outcome else {
        streams[place]!.hasHead = true
        note(stream.number, "refused head \(outcome)")
        return
      }
      text = Array(bytes)
    case .client:
      guard
        let bytes = AnswerText.write(
          head, inbox.text, length: nil, answersHead: stream.method == .head, room: 0,
          into: &gather, body: { _ in 0 })
      else {
        streams[place]!.hasHead = true
        note(stream.number, "refused head")
        return
      }
      text = Array(bytes)
    }
    streams[place]!.hasHead = true
    note(stream.number, "head \(spelled(text))")
    try judge(text, place, stream.method)
  }

  private mutating func judge(_ text: [UInt8], _ place: Int, _ method: Method) throws {
    let limits = HeadLimits(headBytes: 8_192, targetBytes: 1_024, fields: 64)
    let result: HeadResult
    let length: Int
    let framing: Framing
    switch role {
    case .server:
      var head = RequestHead(fieldCapacity: 8)
      result = try text.withExact { head.parse($0, limits: limits) }
      (length, framing) = (head.headBytes, head.framing)
    case .client:
      var head = ResponseHead(fieldCapacity: 8)
      result = try text.withExact { head.parse($0, limits: limits, requestMethod: method) }
      (length, framing) = (head.headBytes, head.framing)
    }
    try require(result != .incomplete, "half a head: \(spelled(text))")
    guard result == .complete else { return }
    try require(same: length, text.count, "more than one head: \(spelled(text))")
    let plain = try PlainHead(text)
    try areClean(plain, spelled(text))
    let coding = plain["transfer-encoding"]
    try require(
      coding.isEmpty || role == .server && coding == [Array("chunked".utf8)],
      "a coding: \(spelled(text))")
    if case .length(let bytes) = framing { streams[place]!.announced = bytes }
  }

  /// Nothing of it concerns a connection of HTTP/1.1.
  private func areClean(_ plain: PlainHead, _ note: String) throws {
    for name in ["connection", "keep-alive", "proxy-connection", "upgrade"] {
      try require(plain[name].isEmpty, "\(name) came through: \(note)")
    }
    for value in plain["te"] {
      try require(value == Array("trailers".utf8), "te came through: \(note)")
    }
  }

  // MARK: What goes

  private mutating func answer(_ place: Int) {
    guard role == .server, let stream = streams[place], !stream.isAnswered else { return }
    streams[place]!.isAnswered = true
    if stream.number % 7 == 3 { return session.refuse(place) }
    var fields = HTTP2Fields()
    let status = Array("200".utf8)
    status.withUnsafeBytes {
      fields.begin(nameBytes: 16)
      fields.add(":status", $0)
      session.submitAnswer(place, fields, ends: stream.number % 5 == 1)
    }
    guard stream.number % 5 != 1 else { return }
    session.send(place, Self.body)
    let trailers = Array("x-last: 1\r\n".utf8)
    if stream.number % 3 == 1 {
      trailers.withUnsafeBytes { session.end(place, trailers: $0) }
    } else {
      session.end(place)
    }
  }

  /// Stays where it is, as what is sent must until it has been flushed. Never written again, which
  /// is why it may be shared.
  private nonisolated(unsafe) static let body: UnsafeRawBufferPointer = {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 40_000, alignment: 1)
    memory.initializeMemory(as: UInt8.self, repeating: 0x7a)
    return UnsafeRawBufferPointer(memory)
  }()

  /// What goes out is whole frames of legal sizes.
  private mutating func flush() throws {
    var gather = Gather()
    session.flush(into: &gather, at: .zero)
    while session.nextChange() != nil {}
    var out = gather.contents[...]
    let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    if role == .client, out.starts(with: preface) { out = out.dropFirst(preface.count) }
    while !out.isEmpty {
      try require(out.count >= 9, "\(out.count) bytes of a frame go out")
      let length = out.prefix(3).reduce(0) { $0 << 8 | Int($1) }
      try require(length <= 16_384, "a frame of \(length) bytes goes out")
      try require(out.count >= 9 + length, "half a frame goes out")
      out = out.dropFirst(9 + length)
    }
  }
}
