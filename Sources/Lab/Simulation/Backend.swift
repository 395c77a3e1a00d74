import Primitives

/// An inference engine as the front door sees it: it serves what it gets, the slower the more it has,
/// and on bad days wrongly.
final class Backend {
  enum Weather {
    case fair
    case refusing
    /// Packets vanish.
    case silent
  }

  let place: Int
  unowned let world: World
  var dice: SeededRandom
  var weather = Weather.fair
  /// Requests that it works on. Count.
  var active = 0
  /// Most of them at once, and answers given, for the score card.
  var mostActive = 0
  var served = 0

  init(place: Int, world: World) {
    self.place = place
    self.world = world
    dice = SeededRandom(seed: world.scenario.seed &* 104_729 &+ UInt64(place) &+ 17)
  }

  /// It goes away with all its connections.
  func dropAll() {
    for connection in world.backendConnections where connection.backend === self {
      connection.crash()
    }
  }

  /// From a whole request to the first byte of its answer.
  func serviceTime() -> TimeAmount {
    let scenario = world.scenario
    let base = dice.exponential(dice.between(scenario.climate.service))
    let factor = scenario.slowness[place] * (1 + scenario.slope[place] * Double(active - 1))
    return .nanoseconds(Int64(Double(base.nanoseconds) * factor)) + .microseconds(100)
  }
}

/// One connection of the front door to a backend. It reads requests with a parser of its own, holds
/// them to the ledger, and writes answers that the ledger remembers.
final class BackendConnection: Peer {
  enum Wish: UInt8 {
    case answer
    case send
    case read
    case idleEnd
  }

  let index: Int
  let backend: Backend
  let link: Link
  private var reader = MessageReader(.request)
  private var isOpen = false
  /// The next wakes are for the present request only.
  private var generation = 0
  private var isReading = false
  private var served = 0

  private var request: Request?
  private var attempt: Attempt?
  private var bodyBytes = 0
  private var isAnswering = false
  private var answerIsSent = false
  private var answerBytes = 0
  private var isTunnel = false
  private var plan = AnswerPlan()
  private let output = ByteQueue()

  init(index: Int, backend: Backend, link: Link) {
    self.index = index
    self.backend = backend
    self.link = link
  }

  private var world: World { backend.world }
  private var climate: Climate { world.scenario.climate }

  private func wish(_ wish: Wish, after delay: TimeAmount) {
    world.plan(.backend(index, wish, generation: generation), after: delay)
  }

  func accepted() {
    isOpen = true
    if backend.dice.chance(climate.closingOnRequest / 4) { close(reset: backend.dice.chance(0.5)) }
  }

  func wake(_ wish: Wish, _ generation: Int) {
    guard isOpen, generation == self.generation else { return }
    switch wish {
    case .answer: beginAnswer()
    case .send: pump()
    case .read:
      isReading = false
      read()
    case .idleEnd: if request == nil { close(reset: false) }
    }
  }

  // MARK: Requests

  func arrived(_ link: Link) {
    guard isOpen, !isReading else { return }
    if request == nil, reader.isIdle, backend.dice.chance(climate.closingOnRequest) {
      // The worst moment: the request is on its way in, and RST goes back over it.
      close(reset: backend.dice.chance(0.3))
      return
    }
    if backend.dice.chance(climate.slowRequestReading) {
      isReading = true
      wish(.read, after: backend.dice.milliseconds(1, 300))
    } else {
      read()
    }
  }

  private func read() {
    world.peerRead(link) { take($0) }
    guard isOpen else { return }
    if link.fromProxy.arrived == 0, link.fromProxy.finArrived { ended(link) }
  }

  private func take(_ bytes: UnsafeRawBufferPointer) {
    var input = bytes
    do throws(ParseFault) {
      while isOpen {
        if isTunnel {
          echo(input)
          return
        }
        guard let token = try reader.next(&input) else { return }
        switch token {
        case .head(let head): begin(head)
        case .body(let piece): took(piece)
        case .end: completed()
        }
      }
    } catch {
      world.fail("backend \(backend.place) was sent what is not HTTP: \(error.text)")
    }
  }

  private func begin(_ head: MessageHead) {
    if let request {
      // Bytes that nobody asked for may still be on their way when the next request comes: HTTP/1.1
      // has no means against them.
      guard attempt?.isComplete ?? false, isAnswering, answerBytes >= plan.ownBytes else {
        world.fail(
          "backend \(backend.place) got a request on the connection of \(request.tag), "
            + "which is not over")
        return
      }
      plan.pieces = []
      output.removeAll()
      done()
    }
    guard let text = head.value("x-sim-id"), let id = Int(text), id < world.requests.count else {
      world.fail("backend \(backend.place) got a request that nobody sent: \(head.start.1)")
      return
    }
    generation += 1
    let request = world.requests[id]
    self.request = request
    bodyBytes = 0
    isAnswering = false
    answerIsSent = false
    check(request, head)
    checkRepetition(request)
    let attempt = Attempt(place: backend.place, at: world.now)
    request.attempts.append(attempt)
    self.attempt = attempt
    backend.active += 1
    backend.mostActive = max(backend.mostActive, backend.active)
    if backend.dice.chance(climate.earlyAnswer) {
      wish(.answer, after: backend.dice.milliseconds(0, 3))
    }
  }

  /// The head must say what the client said, and what a front door adds, and nothing else.
  private func check(_ request: Request, _ head: MessageHead) {
    func expect(_ what: String, _ got: String?, _ wanted: String?) {
      if got != wanted {
        world.fail("\(request.tag): \(what) is \(got ?? "missing"), not \(wanted ?? "missing")")
      }
    }
    expect("method", head.start.0, request.method)
    expect("target", head.start.1, request.target)
    expect("host", head.value("host"), request.host)
    expect("a field", head.value("x-sim-canary"), request.canary)
    expect(
      "x-forwarded-for", head.value("x-forwarded-for"), world.clients[request.user].address.host)
    expect("expect", head.value("expect"), nil)
    expect("the key", head.value("idempotency-key"), request.hasKey ? "k\(request.id)" : nil)
    expect(
      "content-length", head.value("content-length"),
      request.isChunked ? nil : request.length.map(String.init))
    expect(
      "transfer-encoding", head.value("transfer-encoding"), request.isChunked ? "chunked" : nil)
    expect("upgrade", head.value("upgrade"), request.wantsTunnel ? "websocket" : nil)
    if head.count("host") != 1 || head.count("x-request-id") != 1 {
      world.fail("\(request.tag): host or x-request-id is not there exactly once")
    }
    if let connection = head.value("connection"), connection.lowercased() != "upgrade" {
      world.fail("\(request.tag): connection '\(connection)' went upstream")
    }
    if !request.isForwarded { world.fail("\(request.tag) must not reach a backend") }
  }

  /// Sent again only where the rules allow it.
  private func checkRepetition(_ request: Request) {
    guard !request.attempts.isEmpty else { return }
    guard let pool = world.retryRules(of: request) else { return }
    if !request.isIdempotent, !pool.mayRepeat {
      world.fail(
        "\(request.tag) reached a backend for the \(request.attempts.count + 1)th time, and is "
          + "neither idempotent nor marked as repeatable")
    }
    if request.attempts.count >= pool.attempts {
      world.fail("\(request.tag) was tried more often than \(pool.attempts) times")
    }
    if let seen = request.firstByteAt, link.attemptAt > seen {
      world.fail("\(request.tag) was tried again after its client had seen an answer")
    }
    if climate.reloads == 0, request.attempts.contains(where: { $0.place == backend.place }) {
      world.fail("\(request.tag) was tried twice by the same member")
    }
  }

  private func took(_ body: UnsafeRawBufferPointer) {
    guard let request else { return }
    if !Pattern.matches(body, offset: request.offset, position: bodyBytes) {
      world.fail(
        "\(request.tag): bytes \(bodyBytes)..<\(bodyBytes + body.count) of its body are not those "
          + "that the client sent")
    }
    bodyBytes += body.count
    if bodyBytes > request.length ?? 0 {
      world.fail("\(request.tag): its body has grown to \(bodyBytes) bytes")
    }
  }

  private func completed() {
    guard let request else { return }
    if request.isBroken { world.fail("\(request.tag) was completed, and its syntax is wrong") }
    if bodyBytes != request.length ?? 0 {
      world.fail("\(request.tag): \(bodyBytes) of \(request.length ?? 0) body bytes came")
    }
    attempt?.isComplete = true
    if isAnswering {
      if answerIsSent { afterAnswer() }
    } else {
      wish(.answer, after: backend.serviceTime())
    }
  }

  // MARK: Answers

  private func beginAnswer() {
    guard let request, !isAnswering else { return }
    isAnswering = true
    answerBytes = 0
    plan = AnswerPlan(
      world.newAnswer(to: request), requestIsWhole: attempt?.isComplete ?? false, climate,
      &backend.dice, into: output)
    if plan.isSilent { return }
    pump()
  }

  private func pump() {
    while let piece = plan.pieces.first {
      let sent = world.peerSend(
        link, UnsafeRawBufferPointer(rebasing: output.bytes[..<piece.bytes]))
      output.consume(sent)
      answerBytes += sent
      plan.pieces[0].bytes -= sent
      if plan.pieces[0].bytes > 0 { return }
      plan.pieces.removeFirst()
      if piece.pause > .zero, !plan.pieces.isEmpty {
        wish(.send, after: piece.pause)
        return
      }
    }
    if isAnswering, !answerIsSent { answerSent() }
  }

  func hasRoom(_ link: Link) {
    if isTunnel { pumpTunnel() } else if isOpen, isAnswering { pump() }
  }

  private func answerSent() {
    if plan.end == .silence { return }
    answerIsSent = true
    backend.served += 1
    switch plan.end {
    case .keep:
      if plan.opensTunnel {
        isTunnel = true
      } else if attempt?.isComplete ?? false {
        afterAnswer()
      }
    case .finish: close(reset: false)
    case .reset: close(reset: true)
    case .silence: break
    }
  }

  /// Answer and request are both whole.
  private func afterAnswer() {
    done()
    served += 1
    if backend.dice.chance(climate.closingSilently) {
      wish(.idleEnd, after: backend.dice.milliseconds(0, 5_000))
    }
  }

  private func done() {
    if request != nil { backend.active -= 1 }
    request = nil
    attempt = nil
    generation += 1
  }

  // MARK: Tunnels

  private func echo(_ bytes: UnsafeRawBufferPointer) {
    output.append(bytes)
    pumpTunnel()
  }

  private func pumpTunnel() {
    guard isOpen, !output.isEmpty else { return }
    output.consume(world.peerSend(link, output.bytes))
    if output.isEmpty, link.fromProxy.finArrived { close(reset: false) }
  }

  // MARK: Ends

  func ended(_ link: Link) {
    guard isOpen, link.fromProxy.arrived == 0 else { return }
    if isTunnel, !output.isEmpty { return }
    close(reset: false)
  }

  func wasReset(_ link: Link) {
    guard isOpen else { return }
    isOpen = false
    done()
    world.peerClose(link)
  }

  /// The machine is gone.
  func crash() {
    if isOpen { close(reset: true) }
  }

  private func close(reset: Bool) {
    guard isOpen else { return }
    isOpen = false
    if request != nil, answerBytes < plan.ownBytes { plan.answer?.isWhole = false }
    // RST may overtake what has not been read.
    if request != nil || reset { plan.answer?.isFaulty = true }
    done()
    world.peerClose(link, reset: reset)
  }
}
