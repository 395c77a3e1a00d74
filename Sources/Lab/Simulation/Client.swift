import Primitives

/// A user of the front door: sends requests over a connection that it keeps, and checks every byte
/// that comes back. What it does wrong it does on purpose, and remembers.
final class Client: User {
  enum Wish: UInt8 {
    case begin
    case send
    case read
    case leave
    case giveUpContinue
  }

  /// How it takes what comes.
  private enum Appetite {
    case eager
    case slow(bytes: Int, pause: TimeAmount)
    case none
  }

  let index: Int
  unowned let world: World
  let address: SocketAddress
  /// It comes through a load balancer, which says so.
  let isBehindBalancer: Bool
  private var dice: SeededRandom
  /// Requests not yet begun. Count.
  private var left: Int
  private var hasFlooded = false

  // The connection.
  private var link: Link?
  private var generation = 0
  private var reader = MessageReader(.answer)
  private var appetite = Appetite.eager
  private var isReading = false
  /// It keeps to what a decent client does, so the front door owes it everything.
  private var isHonest = true
  /// The last answer said that no other follows.
  private var sawClose = false
  private var hasLeft = false
  private var leavesAfterBytes = Int.max
  private var bytesSeen = 0

  // What is under way.
  /// Requests sent, or being sent, and not answered whole.
  private var outstanding: [Request] = []
  private let output = ByteQueue()
  /// The body behind an `Expect`, until it may go.
  private let heldBody = ByteQueue()
  private var queued = 0
  /// Bytes of a piece and the pause behind it, for those who drip.
  private var drip: (bytes: Int, pause: TimeAmount)?
  /// Never sends more than this.
  private var sendLimit = Int.max
  private var dripIsPlanned = false
  private var finishesAfterSending = false
  private var tunnelEcho = 0
  private var isEnded = false

  init(index: Int, world: World, requests: Int) {
    self.index = index
    self.world = world
    left = requests
    dice = SeededRandom(seed: world.scenario.seed &* 7_919 &+ UInt64(index) &+ 1)
    isBehindBalancer = dice.chance(world.scenario.climate.behindBalancer)
    address = .ipv4(0xc0a8_0001 + UInt32(index), port: 40_000)
  }

  private var climate: Climate { world.scenario.climate }

  func begin(after delay: TimeAmount) { wish(.begin, after: delay) }

  private func wish(_ wish: Wish, after delay: TimeAmount) {
    world.plan(.client(index, wish, generation: generation), after: delay)
  }

  func wake(_ wish: Wish, _ generation: Int) {
    guard generation == self.generation, !isEnded else { return }
    switch wish {
    case .begin: next()
    case .send:
      dripIsPlanned = false
      pump()
    case .read:
      isReading = false
      read()
    case .leave: leave(reset: dice.chance(0.4))
    case .giveUpContinue: releaseBody()
    }
  }

  // MARK: Requests

  /// The next request, or several at once.
  private func next() {
    guard outstanding.isEmpty else { return }
    guard left > 0 else {
      if let link { endConnection(link) }
      isEnded = true
      world.clientDone()
      return
    }
    if link == nil, !connect() {
      // The door is shut: what was still to be asked is not.
      left = 0
      next()
      return
    }
    var depth = dice.chance(climate.pipelining) ? dice.between(2, 5) : 1
    if !hasFlooded, dice.chance(climate.flooding) {
      hasFlooded = true
      if dice.chance(0.5) {
        appetite = .none
        isHonest = false
        wish(.leave, after: dice.milliseconds(100, 40_000))
      }
      depth = dice.between(20, 300)
      left += depth
    }
    while depth > 0, left > 0 {
      depth -= 1
      left -= 1
      let request = world.newRequest(user: index)
      RequestWriter.fill(
        request, world, &dice, isAlone: depth == 0 && outstanding.isEmpty,
        isFlood: depth > 10)
      outstanding.append(request)
      if request.wantsTunnel || !RequestWriter.mayBeFollowed(request) { depth = 0 }
      enqueue(request)
    }
    misbehave()
    pump()
  }

  private func connect() -> Bool {
    guard let fresh = world.openClientLink(self) else { return false }
    link = fresh
    generation += 1
    reader = MessageReader(.answer)
    isHonest = true
    sawClose = false
    hasLeft = false
    isReading = false
    dripIsPlanned = false
    bytesSeen = 0
    leavesAfterBytes = .max
    sendLimit = .max
    finishesAfterSending = false
    queued = 0
    tunnelEcho = 0
    drip = nil
    output.removeAll()
    heldBody.removeAll()
    if isBehindBalancer {
      output.append("PROXY TCP4 \(address.host) 10.255.0.2 40000 8080\r\n")
      queued = output.count
    }
    appetite = .eager
    if dice.chance(climate.slowReading) {
      appetite = .slow(bytes: dice.between(50, 4_000), pause: dice.milliseconds(1, 150))
    } else if dice.chance(climate.neverReading) {
      appetite = .none
      isHonest = false
      // It stays until the front door has had enough, or leaves.
      wish(.leave, after: dice.milliseconds(100, 90_000))
    }
    return true
  }

  private func enqueue(_ request: Request) {
    let start = output.count
    RequestWriter.put(
      request, into: output, body: request.expectsContinue ? heldBody : output, &dice)
    queued += output.count - start
    request.endOffset = queued + heldBody.count
    request.begunAt = world.now
    request.sentAt = world.now
    if request.expectsContinue {
      queued += heldBody.count
      wish(.giveUpContinue, after: .seconds(2))
    }
    link?.lastRequestEnd = request.endOffset
    if request.wantsTunnel { link?.isTunnel = true }
    if !request.isHonest { isHonest = false }
  }

  private func releaseBody() {
    guard !heldBody.isEmpty else { return }
    output.append(heldBody.bytes)
    heldBody.removeAll()
    outstanding.first?.sentAt = world.now
    pump()
  }

  /// Rolls what this client will do wrong with what it is about to send.
  private func misbehave() {
    if dice.chance(climate.leaving) {
      isHonest = false
      if dice.chance(0.5) {
        wish(.leave, after: dice.milliseconds(0, 120))
      } else {
        leavesAfterBytes = bytesSeen + dice.between(1, 3_000)
      }
    }
    // Whether the front door knows that it is a HEAD when it loses patience, nobody can tell.
    let maySendSlowly = !outstanding.contains { $0.method == "HEAD" }
    if maySendSlowly, dice.chance(climate.stalling) {
      isHonest = false
      sendLimit = world.bytesSent(link) + dice.below(max(1, output.count))
    } else if maySendSlowly, dice.chance(climate.dripping) {
      isHonest = false
      drip = (dice.between(1, 40), dice.milliseconds(1, 400))
    }
    if dice.chance(climate.halfClosing) {
      isHonest = false
      finishesAfterSending = true
    }
  }

  private func pump() {
    guard let link, !hasLeft, !dripIsPlanned else { return }
    while !output.isEmpty {
      let allowed = min(output.count, sendLimit - link.toProxy.sent, drip?.bytes ?? .max)
      if allowed <= 0 { return }
      let sent = world.peerSend(
        link, UnsafeRawBufferPointer(rebasing: output.bytes[..<allowed]))
      output.consume(sent)
      if sent < allowed { return }
      if let drip, !output.isEmpty {
        dripIsPlanned = true
        wish(.send, after: drip.pause)
        return
      }
    }
    if finishesAfterSending, heldBody.isEmpty {
      finishesAfterSending = false
      world.peerFinish(link)
    }
  }

  func hasRoom(_ link: Link) { if link === self.link { pump() } }

  // MARK: Answers

  func arrived(_ link: Link) {
    guard link === self.link, !isReading else { return }
    switch appetite {
    case .eager: read()
    case .slow(_, let pause):
      isReading = true
      wish(.read, after: pause)
    case .none: break
    }
  }

  private func read() {
    guard let link else { return }
    var limit = Int.max
    if case .slow(let bytes, _) = appetite { limit = bytes }
    world.peerRead(link, limit: limit) { take($0) }
    guard self.link === link else { return }
    if link.fromProxy.arrived > 0 {
      arrived(link)
    } else if link.fromProxy.resetArrived {
      connectionEnded(link, isReset: true)
    } else if link.fromProxy.finArrived {
      connectionEnded(link, isReset: false)
    }
  }

  private func take(_ bytes: UnsafeRawBufferPointer) {
    var input = bytes
    bytesSeen += bytes.count
    do throws(ParseFault) {
      while let token = try reader.next(&input, answersHead: asksForHead) {
        switch token {
        case .head(let head): took(head)
        case .body(let piece): took(piece)
        case .trailer(let name, let value):
          if let request = outstanding.first { world.tookTrailer(of: request, name, value) }
        case .end: finished()
        }
        if link == nil || world.violation != nil { return }
      }
    } catch {
      world.fail(
        "user \(index) was sent what is not HTTP: \(error.text)"
          + (outstanding.first.map { ", instead of an answer to \($0.tag)" } ?? ""))
    }
    if bytesSeen > leavesAfterBytes { leave(reset: dice.chance(0.4)) }
  }

  /// What comes next answers a HEAD, and the front door can know it.
  private var asksForHead: Bool {
    guard let request = outstanding.first, let link else { return false }
    return request.method == "HEAD" && link.toProxy.read >= request.endOffset
  }

  private func took(_ head: MessageHead) {
    guard let request = outstanding.first else {
      world.fail("user \(index) got an answer to nothing: \(head.start.1)")
      return
    }
    if sawClose {
      world.fail("user \(index) got an answer behind one that said close")
      return
    }
    if head.status < 200, head.status != 101 {
      if head.status == 100 { releaseBody() }
      return
    }
    if head.value("connection") == "close" { sawClose = true }
    world.tookHead(of: request, head)
    if head.status == 101 { sendThroughTunnel(request) }
  }

  private func took(_ body: UnsafeRawBufferPointer) {
    guard let request = outstanding.first else { return }
    if reader.isTunnel {
      tookEcho(request, body)
    } else {
      world.tookBody(of: request, body)
    }
  }

  private func finished() {
    let request = outstanding.removeFirst()
    world.tookEnd(of: request)
    // An answer that is over before its request may cost the connection.
    if let attempt = request.attempts.last, !attempt.isComplete { isHonest = false }
    if sawClose {
      // Whatever comes next on this connection is no answer; the end is awaited.
      return
    }
    if outstanding.isEmpty { pause() }
  }

  /// Between requests.
  private func pause() {
    var pause = dice.between(climate.think)
    if dice.chance(climate.longThink) { pause = dice.milliseconds(1_000, 90_000) }
    wish(.begin, after: pause)
  }

  // MARK: Tunnels

  private func sendThroughTunnel(_ request: Request) {
    tunnelEcho = dice.between(1, 4_000)
    let start = output.count
    output.appendBody(request.offset, 0..<tunnelEcho)
    queued += output.count - start
    pump()
  }

  private func tookEcho(_ request: Request, _ body: UnsafeRawBufferPointer) {
    if !Pattern.matches(body, offset: request.offset, position: request.received) {
      world.fail("\(request.tag): its tunnel echoed other bytes than it sent")
    }
    request.received += body.count
    guard request.received >= tunnelEcho, let link else { return }
    if request.received > tunnelEcho { world.fail("\(request.tag): a tunnel made bytes up") }
    outstanding.removeFirst()
    world.conclude(request, .tunnelled)
    if dice.chance(0.5) { world.peerFinish(link) } else { endConnection(link) }
    if self.link != nil {
      sawClose = true
    } else {
      concludeRest(.unanswered)
      pause()
    }
  }

  // MARK: Ends

  func ended(_ link: Link) {
    guard link === self.link else { return }
    if link.fromProxy.arrived == 0 { connectionEnded(link, isReset: false) }
    if case .none = appetite { leave(reset: false) }
  }

  func wasReset(_ link: Link) {
    guard link === self.link else { return }
    if link.fromProxy.arrived == 0 { connectionEnded(link, isReset: true) }
    if case .none = appetite { leave(reset: false) }
  }

  private func connectionEnded(_ link: Link, isReset: Bool) {
    guard self.link === link else { return }
    if !isReset, reader.endsAtClose, !outstanding.isEmpty {
      if !(world.wasGivenUp(link)) { finished() }
    }
    judgeEnd(link, isReset: isReset)
    endConnection(link)
    concludeRest(.unanswered)
    if !isEnded { pause() }
  }

  /// Whether the front door may have ended this connection now.
  private func judgeEnd(_ link: Link, isReset: Bool) {
    guard let first = outstanding.first, isHonest, !sawClose, !world.isCut,
      !world.wasGivenUp(link)
    else { return }
    // RST because of a later answer, which only RST can mark as cut, wipes out this one too.
    if isReset, outstanding.dropFirst().contains(where: { $0.lastSaid?.isFaulty ?? false }) {
      return
    }
    if let answer = first.answer {
      if answer.isWhole, !answer.isFaulty, first.firstByteAt != nil,
        world.now - first.begunAt < .seconds(8)
      {
        world.fail("\(first.tag): its answer was cut, and the backend did nothing wrong")
      }
    } else if first.firstByteAt == nil, link.toProxy.read >= first.endOffset,
      !(link.hasLostBytes && first.lastSaid?.isFaulty ?? false)
    {
      world.fail("\(first.tag) was read whole, and its connection ended without an answer")
    }
  }

  private func concludeRest(_ outcome: Request.Outcome) {
    for request in outstanding {
      world.conclude(request, request.firstByteAt != nil && outcome == .unanswered ? .cut : outcome)
    }
    outstanding.removeAll()
    output.removeAll()
    heldBody.removeAll()
  }

  private func leave(reset: Bool) {
    guard let link, !hasLeft else { return }
    hasLeft = true
    isHonest = false
    world.peerClose(link, reset: reset)
    self.link = nil
    generation += 1
    concludeRest(.left)
    pause()
  }

  private func endConnection(_ link: Link) {
    world.peerClose(link)
    self.link = nil
    generation += 1
  }

  /// Its end must make the front door let go at once.
  func mustBeNoticed(_ link: Link) -> Bool {
    // All that was asked has been read, or the connection broke.
    !link.isTunnel && (link.toProxy.resetArrived || link.toProxy.read >= link.lastRequestEnd)
  }
}
