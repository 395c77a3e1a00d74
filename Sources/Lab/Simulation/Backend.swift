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
  private var served: ServedRequest?
  private var isAnswering = false
  private var answerIsSent = false
  private var answerBytes = 0
  private var isTunnel = false
  private var plan = AnswerPlan()
  private let output = ByteQueue()
  /// It was greeted in HTTP/2, and this is who speaks it.
  private(set) var streams: StreamBackend?
  private var isJudged = false

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
    case .idleEnd: if served == nil { close(reset: false) }
    }
  }

  // MARK: Requests

  func arrived(_ link: Link) {
    if let streams {
      streams.arrived(link)
      return
    }
    guard isOpen, !isReading else { return }
    if !isJudged, !judgeGreeting() { return }
    if served == nil, reader.isIdle, backend.dice.chance(climate.closingOnRequest) {
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

  /// Looks what is spoken here. False when that is not known yet, or is no concern of this one.
  private func judgeGreeting() -> Bool {
    let arrived = link.fromProxy.queue.bytes.prefix(min(3, link.fromProxy.arrived))
    guard arrived.elementsEqual("PRI".utf8.prefix(arrived.count)) else {
      isJudged = true
      return true
    }
    guard arrived.count == 3 else { return false }
    isOpen = false
    streams = StreamBackend(index: index, backend: backend, link: link)
    streams?.begin()
    return false
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
        case .body(let piece): served?.took(piece)
        case .trailer(let name, let value): served?.tookTrailer(name, value)
        case .end: completed()
        }
      }
    } catch {
      world.fail("backend \(backend.place) was sent what is not HTTP: \(error.text)")
    }
  }

  private func begin(_ head: MessageHead) {
    if let served {
      // Bytes that nobody asked for may still be on their way when the next request comes: HTTP/1.1
      // has no means against them.
      guard served.isComplete, isAnswering, answerBytes >= plan.ownBytes else {
        world.fail(
          "backend \(backend.place) got a request on the connection of \(served.request.tag), "
            + "which is not over")
        return
      }
      plan.pieces = []
      output.removeAll()
      done()
    }
    generation += 1
    isAnswering = false
    answerIsSent = false
    served = ServedRequest(
      head, at: backend, by: link, sentAt: link.attemptAt, isHTTP2: false)
    if served != nil, backend.dice.chance(climate.earlyAnswer) {
      wish(.answer, after: backend.dice.milliseconds(0, 3))
    }
  }

  private func completed() {
    guard let served else { return }
    served.completed()
    if isAnswering {
      if answerIsSent { afterAnswer() }
    } else {
      wish(.answer, after: backend.serviceTime())
    }
  }

  // MARK: Answers

  private func beginAnswer() {
    guard let served, !isAnswering else { return }
    isAnswering = true
    answerBytes = 0
    plan = AnswerPlan(
      world.newAnswer(to: served.request), requestIsWhole: served.isComplete, climate,
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
    if let streams {
      streams.hasRoom(link)
      return
    }
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
      } else if served?.isComplete ?? false {
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
    if backend.dice.chance(climate.closingSilently) {
      wish(.idleEnd, after: backend.dice.milliseconds(0, 5_000))
    }
  }

  private func done() {
    served?.leave()
    served = nil
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
    streams?.ended(link)
    guard isOpen, link.fromProxy.arrived == 0 else { return }
    if isTunnel, !output.isEmpty { return }
    close(reset: false)
  }

  func wasReset(_ link: Link) {
    streams?.wasReset(link)
    guard isOpen else { return }
    isOpen = false
    done()
    world.peerClose(link)
  }

  /// The machine is gone.
  func crash() {
    streams?.crash()
    if isOpen { close(reset: true) }
  }

  private func close(reset: Bool) {
    guard isOpen else { return }
    isOpen = false
    if served != nil, answerBytes < plan.ownBytes { plan.answer?.isWhole = false }
    // RST may overtake what has not been read.
    if served != nil || reset { plan.answer?.isFaulty = true }
    done()
    world.peerClose(link, reset: reset)
  }
}
