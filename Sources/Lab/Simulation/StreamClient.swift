import Primitives

/// A user that speaks HTTP/2 from the first byte on: several requests at once over one connection,
/// each of which may be given up, read slowly or asked wrongly without harm to the others.
final class StreamClient: User, FrameEndOwner {
  enum Wish: UInt8 {
    case begin
    case read
    case window
    case cancel
    case leave
    case body
    case giveUpContinue
    case settings
  }

  private final class Stream {
    let request: Request
    /// It sends, reads and stays as it should.
    var isHonest = true
    /// The body, until it may go.
    var heldBody: Int?
    /// More of a body that drips.
    var dripped = 0
    var cancelsAfter = Int.max
    var windowStep = 0
    init(_ request: Request) { self.request = request }
  }

  let index: Int
  unowned let world: World
  let address: SocketAddress
  let isBehindBalancer: Bool
  private var dice: SeededRandom
  /// Requests not yet begun. Count.
  private var left: Int
  /// Requests at once. Count.
  private let width: Int

  private var link: Link?
  private var end: FrameEnd
  private var generation = 0
  private var streams: [Int: Stream] = [:]
  private var isReading = false
  private var readsSlowly: (bytes: Int, pause: TimeAmount)?
  private var isHonest = true
  /// The front door takes no more here.
  private var isOver = false
  private var lastTaken = Int.max
  private var isEnded = false
  private var beginIsPlanned = false

  init(index: Int, world: World, requests: Int) {
    self.index = index
    self.world = world
    left = requests
    dice = SeededRandom(seed: world.scenario.seed &* 6_151 &+ UInt64(index) &+ 3)
    isBehindBalancer = dice.chance(world.scenario.climate.behindBalancer)
    address = .ipv4(0xc0a8_0001 + UInt32(index), port: 40_000)
    width = dice.chance(0.1) ? dice.between(20, 100) : dice.between(1, 6)
    end = FrameEnd(.client, SeededRandom(seed: dice.next()))
  }

  private var climate: Climate { world.scenario.climate }

  private func wish(_ wish: Wish, _ stream: Int = 0, after delay: TimeAmount) {
    world.plan(.streamClient(index, wish, stream: stream, generation: generation), after: delay)
  }

  func begin(after delay: TimeAmount) { planBegin(after: delay) }

  private func planBegin(after delay: TimeAmount) {
    guard !beginIsPlanned else { return }
    beginIsPlanned = true
    world.plan(.streamClient(index, .begin, stream: 0, generation: -1), after: delay)
  }

  func wake(_ wish: Wish, _ stream: Int, _ generation: Int) {
    if wish == .begin {
      beginIsPlanned = false
      if !isEnded { next() }
      return
    }
    guard generation == self.generation, !isEnded else { return }
    switch wish {
    case .begin: break
    case .read:
      isReading = false
      read()
    case .window: giveWindow(stream)
    case .cancel: cancel(stream)
    case .leave: leave(reset: dice.chance(0.5))
    case .body: drip(stream)
    case .giveUpContinue: releaseBody(stream)
    case .settings: changeSettings()
    }
    flush()
  }

  // MARK: Requests

  private func next() {
    if isOver, streams.isEmpty, let link { endConnection(link) }
    guard left > 0 || !streams.isEmpty else {
      if let link { endConnection(link) }
      isEnded = true
      world.clientDone()
      return
    }
    guard left > 0, !isOver else { return }
    if link == nil, !connect() {
      // The door is shut: what was still to be asked is not.
      left = 0
      next()
      return
    }
    while left > 0, streams.count < width, end.open < end.streamLimit {
      left -= 1
      ask()
      if dice.chance(0.3) { break }
    }
    flush()
    if left > 0, streams.count < width { planBegin(after: dice.between(climate.think)) }
  }

  private func connect() -> Bool {
    guard let fresh = world.openClientLink(self) else { return false }
    link = fresh
    generation += 1
    end = FrameEnd(.client, SeededRandom(seed: dice.next()))
    end.owner = self
    world.listen(to: end, "user \(index)")
    isHonest = true
    isOver = false
    lastTaken = .max
    isReading = false
    readsSlowly = nil
    if isBehindBalancer {
      end.put("PROXY TCP4 \(address.host) 10.255.0.2 40000 8080\r\n")
    }
    let isSmall = dice.chance(climate.smallStreamWindow)
    end.begin(
      window: dice.pick(isSmall ? [0, 1, 100, 3_000] : [65_535, 1 << 20]),
      streamLimit: nil)
    if dice.chance(climate.slowReading) {
      readsSlowly = (dice.between(50, 4_000), dice.milliseconds(1, 150))
    }
    if dice.chance(climate.changingSettings) { wish(.settings, after: dice.milliseconds(1, 200)) }
    if dice.chance(climate.leaving / 2) {
      isHonest = false
      wish(.leave, after: dice.milliseconds(0, 300))
    }
    return true
  }

  private func ask() {
    let request = world.newRequest(user: index)
    RequestWriter.fill(request, world, &dice, isAlone: false, isFlood: false)
    request.isStream = true
    request.isHTTP10 = false
    request.closes = false
    request.begunAt = world.now
    request.sentAt = world.now
    let state = Stream(request)
    state.isHonest = request.isHonest
    if request.isBroken, request.target == "garbage" {
      let stream = end.open(StreamRequest.garbage(&dice), ends: true)
      streams[stream] = state
      return
    }
    if request.isBroken {
      // Other bytes follow than are announced.
      request.isChunked = false
      request.trailer = nil
      request.length = max(1, request.length ?? 0)
    }
    request.expectsContinue =
      (request.length ?? 0) > 0 && !request.isBroken && dice.chance(climate.expectContinue)
    let fields = StreamRequest.fields(request, &dice)
    let hasEmptyEnd = request.length ?? 0 == 0 && request.trailer == nil && dice.chance(0.2)
    let ends = request.length ?? 0 == 0 && request.trailer == nil && !hasEmptyEnd
    let stream = end.open(fields, ends: ends)
    streams[stream] = state
    if !ends { putBody(stream, state) }
    misbehave(stream, state)
    takeSlowly(stream, state)
  }

  private func putBody(_ stream: Int, _ state: Stream) {
    let request = state.request
    let length = request.length ?? 0
    if request.expectsContinue {
      state.heldBody = length
      wish(.giveUpContinue, stream, after: .seconds(2))
    } else if length > 1, !request.isBroken, dice.chance(climate.streaming / 2) {
      // It comes as it is made.
      wish(.body, stream, after: dice.milliseconds(0, 10))
    } else {
      end[stream]?.body.appendBody(request.offset, 0..<length)
      endBody(stream, state)
    }
  }

  private func endBody(_ stream: Int, _ state: Stream) {
    let request = state.request
    if request.isBroken, let body = end[stream]?.body {
      if dice.chance(0.5) { body.append("x") } else { body.truncate(to: body.count - 1) }
    }
    end.end(
      stream, trailers: request.trailer.map { [Field("x-sim-trailer", $0)] } ?? [])
  }

  private func drip(_ stream: Int) {
    guard let state = streams[stream], let length = state.request.length, end[stream] != nil else {
      return
    }
    let more = min(length - state.dripped, max(dice.between(1, length), length / 8))
    end[stream]?.body.appendBody(
      state.request.offset, state.dripped..<(state.dripped + more))
    state.dripped += more
    if state.dripped == length {
      endBody(stream, state)
    } else {
      wish(.body, stream, after: dice.milliseconds(0, 20))
    }
  }

  private func releaseBody(_ stream: Int) {
    guard let state = streams[stream], let length = state.heldBody else { return }
    state.heldBody = nil
    end[stream]?.body.appendBody(state.request.offset, 0..<length)
    endBody(stream, state)
  }

  /// Rolls what this client will do wrong with this request.
  private func misbehave(_ stream: Int, _ state: Stream) {
    if dice.chance(climate.leaving) {
      state.isHonest = false
      switch dice.below(3) {
      case 0:
        // The quick reset: behind the head, in the same bytes.
        cancel(stream)
      case 1: wish(.cancel, stream, after: dice.milliseconds(0, 120))
      default: state.cancelsAfter = dice.between(0, 3_000)
      }
    }
    if dice.chance(climate.stalling), let length = state.request.length, length > 0 {
      state.isHonest = false
      let limit = dice.below(length)
      end.change(stream) { $0.sendLimit = limit }
      wish(.cancel, stream, after: dice.milliseconds(100, 40_000))
    }
  }

  /// Rolls how its answer is taken.
  private func takeSlowly(_ stream: Int, _ state: Stream) {
    if dice.chance(climate.neverReading) {
      state.isHonest = false
      end.change(stream) { $0.generosity = .byHand }
      wish(.cancel, stream, after: dice.milliseconds(100, 90_000))
      return
    }
    if dice.chance(climate.slowReading) { end.change(stream) { $0.generosity = .byHand } }
    state.windowStep = dice.between(500, 30_000)
    wish(.window, stream, after: dice.milliseconds(1, 50))
  }

  private func giveWindow(_ stream: Int) {
    guard let state = streams[stream], let window = end[stream] else { return }
    if end.receiveWindow(of: stream) < 1_000 {
      if window.unreturned > 0 {
        end.giveBack(stream, limit: state.windowStep)
      } else {
        end.widen(stream, by: state.windowStep)
      }
    }
    wish(.window, stream, after: dice.milliseconds(1, 50))
  }

  private func changeSettings() {
    end.sendSettings(window: dice.pick([0, 10, 5_000, 65_535, 200_000]))
    if dice.chance(0.5) { wish(.settings, after: dice.milliseconds(1, 400)) }
    if dice.chance(0.3) { end.ping() }
  }

  private func cancel(_ stream: Int) {
    guard let state = streams[stream] else { return }
    end.reset(stream, code: Frame.Code.cancel)
    conclude(stream, state, .left)
    world.mustBeAborted(state.request, by: link, behind: end.queued)
  }

  private func flush() {
    guard let link else { return }
    end.pump()
    while !end.output.isEmpty {
      end.output.consume(world.peerSend(link, end.output.bytes))
      if !end.output.isEmpty { return }
      end.pump()
    }
  }

  func hasRoom(_ link: Link) { if link === self.link { flush() } }

  // MARK: Answers

  func arrived(_ link: Link) {
    guard link === self.link, !isReading else { return }
    if let slow = readsSlowly {
      isReading = true
      wish(.read, after: slow.pause)
    } else {
      read()
      flush()
    }
  }

  private func read() {
    guard let link else { return }
    world.peerRead(link, limit: readsSlowly?.bytes ?? .max) { bytes in
      do throws(ParseFault) {
        try end.receive(bytes)
      } catch {
        world.fail("user \(index) was sent what is not HTTP: \(error.text)")
      }
    }
    guard self.link === link else { return }
    if link.fromProxy.arrived > 0 {
      arrived(link)
    } else if link.fromProxy.resetArrived {
      connectionEnded(link)
    } else if link.fromProxy.finArrived {
      connectionEnded(link)
    }
  }

  func came(_ head: MessageHead, on stream: Int) {
    guard let state = streams[stream] else { return }
    if head.status < 200 {
      if head.status == 100 { releaseBody(stream) }
      return
    }
    world.tookHead(of: state.request, head)
    if state.cancelsAfter == 0 { cancel(stream) }
  }

  func came(_ body: UnsafeRawBufferPointer, on stream: Int) {
    guard let state = streams[stream] else { return }
    world.tookBody(of: state.request, body)
    if state.request.received > state.cancelsAfter { cancel(stream) }
  }

  func cameTrailers(_ fields: [Field], on stream: Int) {
    guard let state = streams[stream] else { return }
    if world.scenario.mutation == .dropTrailers { return }
    for field in fields { world.tookTrailer(of: state.request, field.name, field.value) }
  }

  func ended(_ stream: Int) {
    guard let state = streams[stream] else { return }
    if state.request.firstByteAt == nil {
      world.fail("\(state.request.tag): its stream ended without an answer")
    }
    world.tookEnd(of: state.request)
    streams[stream] = nil
    // Its body is wanted by nobody any more, or still to be sent: both happen.
    if let rest = end[stream], !rest.hasSentEnd, dice.chance(0.3) {
      end.reset(stream, code: Frame.Code.cancel)
    }
    pause()
  }

  func wasReset(_ stream: Int, code: Int) {
    guard let state = streams[stream] else { return }
    judge(stream, state, "was reset with code \(code)")
    conclude(stream, state, .unanswered)
  }

  func saidGoodbye(last: Int) {
    isOver = true
    guard last < 0x7fff_ffff else { return }
    lastTaken = last
    for stream in streams.keys.sorted() where stream > last {
      if let state = streams[stream] { conclude(stream, state, .unanswered) }
    }
    if streams.isEmpty { pause() }
  }

  private func conclude(_ stream: Int, _ state: Stream, _ outcome: Request.Outcome) {
    streams[stream] = nil
    let hasBegun = state.request.firstByteAt != nil && outcome == .unanswered
    world.conclude(state.request, hasBegun ? .cut : outcome)
    pause()
  }

  /// Between requests.
  private func pause() {
    var pause = dice.between(climate.think)
    if dice.chance(climate.longThink) { pause = dice.milliseconds(1_000, 90_000) }
    planBegin(after: pause)
  }

  // MARK: Ends

  func ended(_ link: Link) {
    if link === self.link, link.fromProxy.arrived == 0 { connectionEnded(link) }
  }

  func wasReset(_ link: Link) {
    if link === self.link, link.fromProxy.arrived == 0 { connectionEnded(link) }
  }

  private func connectionEnded(_ link: Link) {
    guard self.link === link else { return }
    for stream in streams.keys.sorted() {
      guard let state = streams[stream] else { continue }
      judge(stream, state, "had its connection ended")
    }
    concludeAll(.unanswered)
    endConnection(link)
    pause()
  }

  /// Whether the front door may have ended this stream now.
  private func judge(_ stream: Int, _ state: Stream, _ how: String) {
    let request = state.request
    guard let link, isHonest, state.isHonest, !world.isCut, !world.wasGivenUp(link) else { return }
    guard world.now - request.begunAt < .seconds(8), stream <= lastTaken else { return }
    if let answer = request.answer {
      if answer.isWhole, !answer.isFaulty {
        world.fail(
          "\(request.tag) \(how): its answer was cut, and the backend did nothing wrong")
      }
    } else if request.firstByteAt == nil, link.toProxy.read >= end.endOffset(of: stream),
      !(request.lastSaid?.isFaulty ?? false), !link.hasLostBytes
    {
      world.fail("\(request.tag) was read whole, and \(how) without an answer")
    }
  }

  private func concludeAll(_ outcome: Request.Outcome) {
    for stream in streams.keys.sorted() {
      if let state = streams[stream] { conclude(stream, state, outcome) }
    }
  }

  private func leave(reset: Bool) {
    guard let link else { return }
    isHonest = false
    world.peerClose(link, reset: reset)
    self.link = nil
    generation += 1
    concludeAll(.left)
    pause()
  }

  private func endConnection(_ link: Link) {
    world.peerClose(link)
    self.link = nil
    generation += 1
    isOver = false
  }

  /// Streams that are not over. Count.
  var openStreams: Int { end.open }

  func mustBeNoticed(_ link: Link) -> Bool {
    link.toProxy.resetArrived || link.toProxy.finArrived
  }
}
