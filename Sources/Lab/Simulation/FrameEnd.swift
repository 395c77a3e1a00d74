import Primitives

/// Whoever has an end of an HTTP/2 connection, and is told what has come.
protocol FrameEndOwner: AnyObject {
  func came(_ head: MessageHead, on stream: Int)
  func came(_ body: UnsafeRawBufferPointer, on stream: Int)
  func cameTrailers(_ fields: [Field], on stream: Int)
  /// The front door has ended its side of the stream.
  func ended(_ stream: Int)
  func wasReset(_ stream: Int, code: Int)
  /// The front door takes no streams above the last one.
  func saidGoodbye(last: Int)
}

/// One end of an HTTP/2 connection, and not the front door's: frame code of its own, that knows all
/// rules the front door must keep, and can break those that it itself should.
///
/// ```
/// bytes -> receive -> frames -> owner        (what the front door may not do throws)
/// owner -> open, answer, send ... -> pump -> output -> bytes
/// ```
final class FrameEnd {
  enum Role {
    case client
    case server
  }

  /// How windows are given back.
  enum Generosity {
    case prompt
    /// When half of it has been used.
    case lazy
    /// By the owner, with `giveBack`.
    case byHand
  }

  struct Stream {
    // What the front door sends.
    /// Bytes received and not given back, less what was given for nothing.
    var used = 0
    /// Bytes received and not given back.
    var unreturned = 0
    var hasHead = false
    var hasEnded = false
    /// By `content-length`, where a body follows.
    var announced: Int?
    var receivedBytes = 0
    var generosity: Generosity

    // What is sent to it.
    var sendWindow: Int
    let body = ByteQueue()
    /// Never sends more of the body than this.
    var sendLimit = Int.max
    var sentBytes = 0
    var endsBehindBody = false
    var trailers: [Field] = []
    var hasSentEnd = false
    /// The answer to HEAD has no body, whatever it announces.
    var asksForHead = false
  }

  let role: Role
  weak var owner: (any FrameEndOwner)?
  /// Is shown every frame, for a trace that people read.
  var onFrame: ((_ isSent: Bool, Frame.Head) -> Void)?
  var dice: SeededRandom
  private(set) var streams: [Int: Stream] = [:]
  let output = ByteQueue()
  /// Bytes ever put into the output.
  private(set) var queued = 0

  // What the front door has said.
  private(set) var streamLimit = Int.max
  private var doorWindow = Frame.firstWindow
  private var hasSettings = false
  /// Streams above it are not looked at.
  private(set) var lastTaken = Int.max

  // What it has been told.
  private var ownWindow = Frame.firstWindow
  private var pendingWindows: [Int] = []
  private(set) var ownStreamLimit = Int.max
  private var pendingLimits: [Int] = []
  private(set) var isAcknowledged = false
  /// Above it nothing is looked at any more.
  private(set) var lastServed = Int.max

  /// Bytes of the connection up to the ends of streams.
  private var endOffsets: [Int: Int] = [:]
  private var sendWindow = Frame.firstWindow
  private var receiveWindow = Frame.firstWindow
  private var unreturned = 0
  private var nextID = 1
  /// The highest that the front door has opened.
  private(set) var lastOpened = 0
  private var pings = 0

  // Reading.
  private var fields = FieldReader()
  private let input = ByteQueue()
  private var needsPreface: Bool
  private var block: [UInt8] = []
  private var blockHead: Frame.Head?

  init(_ role: Role, _ dice: SeededRandom) {
    self.role = role
    self.dice = dice
    needsPreface = role == .server
  }

  subscript(stream: Int) -> Stream? { streams[stream] }

  /// Streams that are not over. Count.
  var open: Int { streams.count }
  var isDone: Bool { output.isEmpty && streams.values.allSatisfy { $0.body.isEmpty } }

  /// Bytes of the connection up to the end of a stream; endless where it has not been sent.
  func endOffset(of stream: Int) -> Int { endOffsets[stream] ?? .max }

  func change(_ stream: Int, _ body: (inout Stream) -> Void) {
    guard streams[stream] != nil else { return }
    body(&streams[stream]!)
  }

  // MARK: Saying how

  /// The begin of everything.
  func begin(window: Int, streamLimit: Int?) {
    if role == .client { put(Frame.preface) }
    sendSettings(window: window, streamLimit: streamLimit)
    let more = dice.pick([0, 100_000, 1 << 20, 8 << 20])
    if more > 0 {
      receiveWindow += more
      frame(.windowUpdate) { $0.append(number: more) }
    }
  }

  /// The front door may go by the old numbers until it has said that it knows the new ones.
  func sendSettings(window: Int?, streamLimit: Int? = nil) {
    var payload: [(Int, Int)] = []
    if role == .client { payload.append((Frame.Setting.push, 0)) }
    if let window {
      payload.append((Frame.Setting.window, window))
    }
    if let streamLimit { payload.append((Frame.Setting.streamLimit, streamLimit)) }
    pendingWindows.append(window ?? pendingWindows.last ?? ownWindow)
    pendingLimits.append(streamLimit ?? pendingLimits.last ?? ownStreamLimit)
    frame(.settings, count: payload.count * 6) { output in
      for (name, value) in payload {
        output.append([UInt8(name >> 8), UInt8(name & 0xff)])
        output.append(number: value)
      }
    }
  }

  private func settingsAcknowledged() throws(ParseFault) {
    guard !pendingWindows.isEmpty else { throw ParseFault(text: "an acknowledgement of nothing") }
    ownWindow = pendingWindows.removeFirst()
    ownStreamLimit = pendingLimits.removeFirst()
    isAcknowledged = true
  }

  func ping() {
    pings += 1
    frame(.ping, count: 8) { $0.append([UInt8](repeating: 7, count: 8)) }
  }

  // MARK: Reading

  /// Takes bytes of the front door.
  func receive(_ bytes: UnsafeRawBufferPointer) throws(ParseFault) {
    input.append(bytes)
    if needsPreface {
      let wanted = Array(Frame.preface.utf8)
      guard input.count >= wanted.count else { return }
      guard input.bytes.prefix(wanted.count).elementsEqual(wanted) else {
        throw ParseFault(text: "another preface")
      }
      input.consume(wanted.count)
      needsPreface = false
    }
    while input.count >= Frame.headBytes {
      let head = Frame.Head(input.bytes)
      guard head.length <= Frame.sizeLimit else {
        throw ParseFault(text: "a frame of \(head.length) bytes")
      }
      guard input.count >= Frame.headBytes + head.length else { return }
      let payload = UnsafeRawBufferPointer(
        rebasing: input.bytes[Frame.headBytes..<(Frame.headBytes + head.length)])
      onFrame?(false, head)
      // Consumed behind it: the owner may send, and never receives, while it looks.
      try take(head, payload)
      input.consume(Frame.headBytes + head.length)
    }
  }

  private func take(
    _ head: Frame.Head, _ payload: UnsafeRawBufferPointer
  ) throws(ParseFault) {
    guard let kind = Frame.Kind(rawValue: head.kind) else { return }
    guard hasSettings || kind == .settings else {
      throw ParseFault(text: "\(kind) before settings")
    }
    if blockHead != nil, kind != .continuation {
      throw ParseFault(text: "\(kind) within a header block")
    }
    switch kind {
    case .data: try takeData(head, payload)
    case .headers:
      block = Array(try unpadded(head, payload))
      if head.has(Frame.Flag.priority) { block.removeFirst(min(5, block.count)) }
      blockHead = head
      if head.has(Frame.Flag.endHeaders) { try takeBlock() }
    case .continuation:
      guard blockHead?.stream == head.stream else {
        throw ParseFault(text: "a continuation of nothing")
      }
      block.append(contentsOf: payload)
      if head.has(Frame.Flag.endHeaders) { try takeBlock() }
    case .resetStream:
      try checkNotIdle(head)
      guard payload.count == 4 else { throw ParseFault(text: "a reset of another size") }
      close(head.stream, code: Frame.number(payload, at: 0))
    case .settings: try takeSettings(head, payload)
    case .ping:
      guard payload.count == 8 else { throw ParseFault(text: "a ping of another size") }
      if head.has(Frame.Flag.acknowledged) {
        guard pings > 0 else { throw ParseFault(text: "an answer to no ping") }
        pings -= 1
      } else {
        let echo = Array(payload)
        frame(.ping, flags: Frame.Flag.acknowledged, count: 8) { $0.append(echo) }
      }
    case .goAway:
      guard payload.count >= 8 else { throw ParseFault(text: "a short goodbye") }
      let last = Frame.number(payload, at: 0) & 0x7fff_ffff
      guard last <= lastTaken else { throw ParseFault(text: "a goodbye that takes more") }
      if last < 0x7fff_ffff { lastTaken = last }
      owner?.saidGoodbye(last: last)
    case .windowUpdate: try takeWindow(head, payload)
    case .priority: return
    case .pushPromise: throw ParseFault(text: "a push")
    }
  }

  private func unpadded(
    _ head: Frame.Head, _ payload: UnsafeRawBufferPointer
  ) throws(ParseFault) -> UnsafeRawBufferPointer {
    guard head.has(Frame.Flag.padded) else { return payload }
    guard let pad = payload.first, Int(pad) < payload.count else {
      throw ParseFault(text: "padding over the frame")
    }
    return UnsafeRawBufferPointer(rebasing: payload[1..<(payload.count - Int(pad))])
  }

  /// Frames of a stream that is over may still be on their way; those of one that never was may not.
  private func checkNotIdle(_ head: Frame.Head) throws(ParseFault) {
    let known = role == .client ? nextID - 2 : lastOpened
    guard head.stream > 0, head.stream <= known else {
      throw ParseFault(text: "a frame \(head.kind) on idle stream \(head.stream)")
    }
  }

  private func takeSettings(
    _ head: Frame.Head, _ payload: UnsafeRawBufferPointer
  ) throws(ParseFault) {
    if head.has(Frame.Flag.acknowledged) {
      try settingsAcknowledged()
      return
    }
    hasSettings = true
    guard payload.count % 6 == 0 else { throw ParseFault(text: "settings of another size") }
    for place in stride(from: 0, to: payload.count, by: 6) {
      let value = Frame.number(payload, at: place + 2)
      switch Int(payload[place]) << 8 | Int(payload[place + 1]) {
      case Frame.Setting.window:
        for stream in streams.keys { streams[stream]!.sendWindow += value - doorWindow }
        doorWindow = value
      case Frame.Setting.streamLimit: streamLimit = value
      default: break
      }
    }
    frame(.settings, flags: Frame.Flag.acknowledged, count: 0) { _ in }
  }

  private func takeWindow(
    _ head: Frame.Head, _ payload: UnsafeRawBufferPointer
  ) throws(ParseFault) {
    guard payload.count == 4 else { throw ParseFault(text: "a window of another size") }
    let more = Frame.number(payload, at: 0) & 0x7fff_ffff
    guard more > 0 else { throw ParseFault(text: "a window that does not grow") }
    if head.stream == 0 {
      sendWindow += more
    } else {
      try checkNotIdle(head)
      streams[head.stream]?.sendWindow += more
    }
    if max(sendWindow, streams[head.stream]?.sendWindow ?? 0) > 0x7fff_ffff {
      throw ParseFault(text: "a window that is too large")
    }
  }

  private func takeData(
    _ head: Frame.Head, _ payload: UnsafeRawBufferPointer
  ) throws(ParseFault) {
    try checkNotIdle(head)
    receiveWindow -= payload.count
    guard receiveWindow >= 0 else {
      throw ParseFault(text: "\(-receiveWindow) bytes over the window of the connection")
    }
    unreturned += payload.count
    returnConnection()
    guard streams[head.stream] != nil else { return }
    guard streams[head.stream]!.hasHead, !streams[head.stream]!.hasEnded else {
      throw ParseFault(text: "data out of place on stream \(head.stream)")
    }
    streams[head.stream]!.used += payload.count
    // What has not been acknowledged may not have come yet.
    let window = max(ownWindow, pendingWindows.max() ?? 0)
    guard payload.isEmpty || streams[head.stream]!.used <= window else {
      throw ParseFault(text: "bytes over the window of stream \(head.stream)")
    }
    streams[head.stream]!.unreturned += payload.count
    let body = try unpadded(head, payload)
    streams[head.stream]!.receivedBytes += body.count
    returnWindow(head.stream)
    if !body.isEmpty { owner?.came(body, on: head.stream) }
    if head.has(Frame.Flag.endStream) { try takeEnd(head.stream) }
  }

  private func takeBlock() throws(ParseFault) {
    guard let head = blockHead else { return }
    blockHead = nil
    // Read whatever becomes of it, for the table's sake.
    let fields = try self.fields.read(block)
    let ends = head.has(Frame.Flag.endStream)
    if role == .server, head.stream > lastOpened {
      guard head.stream % 2 == 1 else { throw ParseFault(text: "an even stream") }
      lastOpened = head.stream
      if head.stream > lastServed { return }
      guard streams.count < max(ownStreamLimit, pendingLimits.max() ?? 0) else {
        throw ParseFault(text: "more streams than \(ownStreamLimit)")
      }
      streams[head.stream] = makeStream()
    } else {
      try checkNotIdle(head)
    }
    guard streams[head.stream] != nil else { return }
    guard !streams[head.stream]!.hasEnded else {
      throw ParseFault(text: "fields behind the end of stream \(head.stream)")
    }
    if streams[head.stream]!.hasHead {
      guard ends else { throw ParseFault(text: "trailers that do not end") }
      try FieldRules.checkTrailers(fields)
      owner?.cameTrailers(fields, on: head.stream)
    } else {
      let message = try FieldRules.head(fields, isRequest: role == .server)
      let isInterim = role == .client && message.status < 200
      if isInterim {
        guard !ends else { throw ParseFault(text: "an interim answer that ends") }
      } else {
        streams[head.stream]!.hasHead = true
        let isBodiless =
          streams[head.stream]!.asksForHead || message.status == 204 || message.status == 304
        if let length = message.value("content-length"), !isBodiless {
          guard let length = Int(length), length >= 0 else {
            throw ParseFault(text: "length '\(length)'")
          }
          streams[head.stream]!.announced = length
        }
      }
      owner?.came(message, on: head.stream)
    }
    if ends { try takeEnd(head.stream) }
  }

  private func takeEnd(_ stream: Int) throws(ParseFault) {
    guard let state = streams[stream] else { return }
    if let announced = state.announced, announced != state.receivedBytes {
      throw ParseFault(text: "\(state.receivedBytes) of \(announced) bytes on stream \(stream)")
    }
    streams[stream]!.hasEnded = true
    owner?.ended(stream)
    settle(stream)
  }

  // MARK: Windows

  /// What the front door may send on the stream once it knows all settings. Bytes.
  func receiveWindow(of stream: Int) -> Int {
    (pendingWindows.last ?? ownWindow) - (streams[stream]?.used ?? 0)
  }

  private func returnConnection() {
    guard unreturned > 0, dice.chance(0.5) || unreturned > receiveWindow else { return }
    let more = unreturned
    unreturned = 0
    receiveWindow += more
    frame(.windowUpdate, count: 4) { $0.append(number: more) }
  }

  private func returnWindow(_ stream: Int) {
    guard let state = streams[stream] else { return }
    switch state.generosity {
    case .prompt: giveBack(stream)
    case .lazy: if state.unreturned >= receiveWindow(of: stream) { giveBack(stream) }
    case .byHand: break
    }
  }

  /// Lets the front door send so many more bytes on the stream.
  func giveBack(_ stream: Int, limit: Int = .max) {
    guard let state = streams[stream], !state.hasEnded else { return }
    let more = min(limit, state.unreturned)
    guard more > 0 else { return }
    streams[stream]!.unreturned -= more
    streams[stream]!.used -= more
    frame(.windowUpdate, stream: stream, count: 4) { $0.append(number: more) }
  }

  /// Widens a window that began small.
  func widen(_ stream: Int, by more: Int) {
    guard let state = streams[stream], !state.hasEnded else { return }
    streams[stream]!.used -= more
    frame(.windowUpdate, stream: stream, count: 4) { $0.append(number: more) }
  }

  // MARK: Streams

  private func makeStream() -> Stream {
    Stream(
      generosity: dice.chance(0.5) ? .prompt : .lazy, sendWindow: doorWindow)
  }

  /// Opens a stream with a request.
  func open(_ fields: [Field], ends: Bool) -> Int {
    let stream = nextID
    nextID += 2
    streams[stream] = makeStream()
    streams[stream]!.asksForHead = fields.first?.value == "HEAD"
    sendHead(fields, on: stream, ends: ends)
    return stream
  }

  /// Sends a head, or trailers.
  func sendHead(_ fields: [Field], on stream: Int, ends: Bool) {
    var block: [UInt8] = []
    FieldWriter.put(fields, into: &block)
    let split = block.count > 1 && dice.chance(0.05) ? 1 + dice.below(block.count - 1) : block.count
    var flags: UInt8 = ends ? Frame.Flag.endStream : 0
    if split == block.count { flags |= Frame.Flag.endHeaders }
    frame(.headers, flags: flags, stream: stream, count: split) {
      $0.append(Array(block[..<split]))
    }
    if split < block.count {
      frame(
        .continuation, flags: Frame.Flag.endHeaders, stream: stream, count: block.count - split
      ) {
        $0.append(Array(block[split...]))
      }
    }
    if ends { sentEnd(stream) }
  }

  /// What was put into its body is all of it.
  func end(_ stream: Int, trailers: [Field] = []) {
    change(stream) {
      $0.endsBehindBody = true
      $0.trailers = trailers
    }
  }

  private func sentEnd(_ stream: Int) {
    change(stream) { $0.hasSentEnd = true }
    endOffsets[stream] = queued
    settle(stream)
  }

  /// Both sides are done.
  private func settle(_ stream: Int) {
    if let state = streams[stream], state.hasEnded, state.hasSentEnd {
      streams[stream] = nil
    }
  }

  func reset(_ stream: Int, code: Int) {
    streams[stream] = nil
    frame(.resetStream, stream: stream, count: 4) { $0.append(number: code) }
  }

  private func close(_ stream: Int, code: Int) {
    guard streams[stream] != nil else { return }
    owner?.wasReset(stream, code: code)
    streams[stream] = nil
  }

  /// Streams above `last` are not looked at any more.
  func sayGoodbye(last: Int, code: Int = 0) {
    lastServed = last
    for stream in streams.keys where stream > last { streams[stream] = nil }
    frame(.goAway, count: 8) {
      $0.append(number: last)
      $0.append(number: code)
    }
  }

  // MARK: Writing

  /// Puts as much of the bodies into the output as windows allow and fits into a reasonable output.
  func pump() {
    guard hasSettings || role == .client else { return }
    var candidates = streams.keys.sorted()
    while !candidates.isEmpty, output.count < 65_536 {
      let place = dice.below(candidates.count)
      if !pump(candidates[place]) { candidates.remove(at: place) }
    }
  }

  /// Sends one frame of a body. False when none can be sent now.
  private func pump(_ stream: Int) -> Bool {
    guard let state = streams[stream], !state.hasSentEnd else { return false }
    let waiting = state.body.count
    let allowed = min(
      waiting, sendWindow, state.sendWindow, state.sendLimit - state.sentBytes, Frame.sizeLimit - 16
    )
    let isLast = allowed == waiting && state.endsBehindBody
    guard allowed > 0 || (waiting == 0 && isLast) else { return false }
    var count = max(0, allowed)
    if count > 1, dice.chance(0.3) { count = 1 + dice.below(count) }
    let isWhole = count == waiting && state.endsBehindBody
    let endsHere = isWhole && state.trailers.isEmpty && (count == 0 || dice.chance(0.6))
    if count > 0 || endsHere { sendData(stream, count, ends: endsHere) }
    if isWhole, !endsHere, !state.trailers.isEmpty {
      sendHead(state.trailers, on: stream, ends: true)
    }
    return true
  }

  private func sendData(_ stream: Int, _ count: Int, ends: Bool) {
    var pad: Int?
    let room = min(sendWindow, streams[stream]!.sendWindow) - count - 1
    if room >= 0, dice.chance(0.05) { pad = dice.below(min(room, 8) + 1) }
    let total = count + (pad.map { $0 + 1 } ?? 0)
    var flags: UInt8 = ends ? Frame.Flag.endStream : 0
    if pad != nil { flags |= Frame.Flag.padded }
    let body = streams[stream]!.body
    frame(.data, flags: flags, stream: stream, count: total) { output in
      if let pad { output.append([UInt8(pad)]) }
      output.append(UnsafeRawBufferPointer(rebasing: body.bytes[..<count]))
      if let pad { output.append([UInt8](repeating: 0, count: pad)) }
    }
    body.consume(count)
    sendWindow -= total
    streams[stream]!.sendWindow -= total
    streams[stream]!.sentBytes += count
    if ends { sentEnd(stream) }
  }

  /// Data that nobody may send: whatever the windows, and behind the end too.
  func sendWildData(_ stream: Int, _ text: String) {
    frame(.data, stream: stream, count: text.utf8.count) { $0.append(text) }
    sendWindow -= text.utf8.count
  }

  private func frame(
    _ kind: Frame.Kind, flags: UInt8 = 0, stream: Int = 0, count: Int = 4,
    _ payload: (ByteQueue) -> Void
  ) {
    output.append(frame: kind, flags: flags, stream: stream, count: count)
    payload(output)
    queued += Frame.headBytes + count
    guard let onFrame else { return }
    var head = Frame.Head()
    head.length = count
    head.kind = kind.rawValue
    head.flags = flags
    head.stream = stream
    onFrame(true, head)
  }

  /// Raw text in front of everything: a preface, or what a balancer says.
  func put(_ text: String) {
    output.append(text)
    queued += text.utf8.count
  }
}
