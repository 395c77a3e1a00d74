import Primitives

/// A backend's end of an HTTP/2 connection.
final class StreamBackend: FrameEndOwner {
  enum Wish: UInt8 {
    case answer
    case send
    case read
    case window
    case idleEnd
    case settings
  }

  private final class Serving {
    let served: ServedRequest
    var plan: StreamAnswer?
    /// The end of the answer stands behind its body.
    var isEnding = false
    /// The end of the answer is on its way.
    var isSent = false
    init(_ served: ServedRequest) { self.served = served }
  }

  private let index: Int
  private let backend: Backend
  private let link: Link
  private let end: FrameEnd
  private var serving: [Int: Serving] = [:]
  private var isOpen = true
  private var isReading = false
  /// Reads nothing while it cannot write.
  private let isStubborn: Bool
  private var lastTaken = 0
  private var isLeaving = false
  private var answers: [Answer] = []

  /// Streams that are not over. Count.
  var openStreams: Int { end.open }

  init(index: Int, backend: Backend, link: Link) {
    self.index = index
    self.backend = backend
    self.link = link
    end = FrameEnd(.server, SeededRandom(seed: backend.dice.next()))
    isStubborn = backend.dice.chance(backend.world.scenario.climate.slowRequestReading)
  }

  private var world: World { backend.world }
  private var climate: Climate { world.scenario.climate }

  private func wish(_ wish: Wish, _ stream: Int = 0, after delay: TimeAmount) {
    world.plan(.stream(index, wish, stream: stream), after: delay)
  }

  /// It was greeted: says how it wants to be spoken to, and reads on.
  func begin() {
    end.owner = self
    world.listen(to: end, "backend \(backend.place) at #\(link.handle.index)")
    let isSmall = backend.dice.chance(climate.smallStreamWindow)
    end.begin(
      window: backend.dice.pick(isSmall ? [0, 1, 100, 3_000] : [65_535, 1 << 20]),
      streamLimit: backend.dice.chance(climate.fewStreams)
        ? backend.dice.between(1, 4) : backend.dice.pick([100, 250]))
    if backend.dice.chance(climate.changingSettings) {
      wish(.settings, after: backend.dice.milliseconds(1, 200))
    }
    flush()
    arrived(link)
  }

  func wake(_ wish: Wish, _ stream: Int) {
    guard isOpen else { return }
    switch wish {
    case .answer: beginAnswer(stream)
    case .send:
      serving[stream]?.plan?.pauseIsOver()
      goOn(stream)
    case .read:
      isReading = false
      read()
    case .window: giveWindow(stream)
    case .idleEnd: if serving.isEmpty { close(reset: false) }
    case .settings: changeSettings()
    }
    if isOpen { flush() }
  }

  private func changeSettings() {
    end.sendSettings(
      window: backend.dice.pick([0, 10, 5_000, 65_535, 200_000]),
      streamLimit: backend.dice.chance(0.5) ? backend.dice.between(1, 50) : nil)
    // Whatever the windows are now, they do not stay at nothing.
    wish(.window, after: backend.dice.milliseconds(1, 300))
    if backend.dice.chance(0.5) { wish(.settings, after: backend.dice.milliseconds(1, 400)) }
    if backend.dice.chance(0.3) { end.ping() }
  }

  /// Stream 0: all of them.
  private func giveWindow(_ stream: Int) {
    for stream in stream == 0 ? serving.keys.sorted() : [stream] {
      guard let state = end[stream] else { continue }
      if end.receiveWindow(of: stream) < 1_000 {
        if state.unreturned > 0 {
          end.giveBack(stream, limit: backend.dice.between(1, 8_000))
        } else {
          end.widen(stream, by: backend.dice.between(1, 20_000))
        }
      }
      if !state.hasEnded { wish(.window, stream, after: backend.dice.milliseconds(1, 60)) }
    }
  }

  // MARK: Requests

  func arrived(_ link: Link) {
    guard isOpen, !isReading else { return }
    if isStubborn, !end.output.isEmpty { return }
    if backend.dice.chance(climate.slowRequestReading) {
      isReading = true
      wish(.read, after: backend.dice.milliseconds(1, 300))
    } else {
      read()
      if isOpen { flush() }
    }
  }

  private func read() {
    world.peerRead(link) { bytes in
      do throws(ParseFault) {
        try end.receive(bytes)
      } catch {
        world.fail("backend \(backend.place) was sent what is not HTTP: \(error.text)")
      }
    }
    guard isOpen else { return }
    if link.fromProxy.arrived == 0, link.fromProxy.finArrived { close(reset: false) }
  }

  func came(_ head: MessageHead, on stream: Int) {
    guard isOpen else { return }
    if backend.dice.chance(climate.refusing) {
      end.reset(stream, code: Frame.Code.refused)
      return
    }
    if isLeaving || backend.dice.chance(climate.goingAway) {
      sayGoodbye()
      return
    }
    if backend.dice.chance(climate.closingOnRequest) {
      close(reset: backend.dice.chance(0.3))
      return
    }
    lastTaken = stream
    let sentAt = link.streamsAt[stream] ?? .zero
    guard
      let served = ServedRequest(
        head, at: backend, by: link, sentAt: sentAt, isHTTP2: true)
    else { return }
    serving[stream] = Serving(served)
    if backend.dice.chance(climate.slowRequestReading) {
      end.change(stream) { $0.generosity = .byHand }
    }
    wish(.window, stream, after: backend.dice.milliseconds(1, 100))
    if backend.dice.chance(climate.earlyAnswer) {
      wish(.answer, stream, after: backend.dice.milliseconds(0, 3))
    }
  }

  /// The stream that has just come, and all that follow, are for somebody else.
  private func sayGoodbye() {
    guard !isLeaving else { return }
    isLeaving = true
    end.sayGoodbye(last: lastTaken)
    // The front door closes when all is said; if it does not, this end does.
    if serving.isEmpty { wish(.idleEnd, after: .seconds(3)) }
  }

  func came(_ body: UnsafeRawBufferPointer, on stream: Int) { serving[stream]?.served.took(body) }

  func cameTrailers(_ fields: [Field], on stream: Int) {
    for field in fields { serving[stream]?.served.tookTrailer(field.name, field.value) }
  }

  func ended(_ stream: Int) {
    guard let state = serving[stream] else { return }
    state.served.completed()
    if state.plan == nil {
      wish(.answer, stream, after: backend.serviceTime())
    } else {
      settle(stream, state)
    }
  }

  func wasReset(_ stream: Int, code: Int) { leave(stream) }
  func saidGoodbye(last: Int) {}

  // MARK: Answers

  private func beginAnswer(_ stream: Int) {
    guard let state = serving[stream], state.plan == nil else { return }
    let answer = world.newAnswer(to: state.served.request)
    answers.append(answer)
    state.plan = StreamAnswer(
      answer, requestIsWhole: state.served.isComplete, climate, &backend.dice)
    if state.plan!.isPoison { for answer in answers { answer.isFaulty = true } }
    goOn(stream)
  }

  private func goOn(_ stream: Int) {
    while isOpen, let state = serving[stream], let (pause, step) = state.plan?.steps.first {
      if state.isEnding, !state.isSent { return }
      if pause > .zero {
        wish(.send, stream, after: pause)
        return
      }
      state.plan?.next()
      perform(step, stream, state)
    }
    if isOpen, let state = serving[stream] { settle(stream, state) }
  }

  private func perform(_ step: StreamAnswer.Step, _ stream: Int, _ state: Serving) {
    let answer = state.plan!.answer
    switch step {
    case .fields(let fields, let ends):
      if end[stream] != nil { end.sendHead(fields, on: stream, ends: ends) }
      if ends { sent(state) }
    case .body(let range): end[stream]?.body.appendBody(answer.offset, range)
    case .end(let trailers):
      end.end(stream, trailers: trailers)
      state.isEnding = true
    case .reset(let code):
      // What the windows have not let through is lost.
      if !state.isSent { answer.isFaulty = true }
      leave(stream)
      end.reset(stream, code: code)
    case .wildData: end.sendWildData(stream, "evil")
    case .cut(let reset): close(reset: reset)
    }
  }

  private func sent(_ state: Serving) {
    state.isSent = true
    backend.served += 1
  }

  /// All of the answer is on its way: the request is over when it is whole, or nobody wants the rest.
  private func settle(_ stream: Int, _ state: Serving) {
    guard state.isSent, state.plan!.steps.isEmpty else { return }
    if state.served.isComplete {
      leave(stream)
    } else if backend.dice.chance(0.7) {
      // RFC 9113, 8.1: without an error.
      end.reset(stream, code: Frame.Code.none)
      leave(stream)
    }
  }

  private func leave(_ stream: Int) {
    guard let state = serving[stream] else { return }
    lose(stream, state)
    serving[stream] = nil
    guard serving.isEmpty else { return }
    if isLeaving {
      wish(.idleEnd, after: .seconds(3))
    } else if backend.dice.chance(climate.closingSilently) {
      wish(.idleEnd, after: backend.dice.milliseconds(0, 5_000))
    }
  }

  /// What has not been sent never will be.
  private func lose(_ stream: Int, _ state: Serving) {
    state.served.leave()
    guard let plan = state.plan, !state.isSent else { return }
    if !plan.hasSaidAll || !(end[stream]?.body.isEmpty ?? true) { plan.answer.isWhole = false }
  }

  private func flush() {
    guard isOpen else { return }
    end.pump()
    while !end.output.isEmpty {
      end.output.consume(world.peerSend(link, end.output.bytes))
      if !end.output.isEmpty { break }
      end.pump()
    }
    for stream in serving.keys.sorted() {
      guard let state = serving[stream], state.isEnding, !state.isSent,
        end[stream]?.hasSentEnd ?? true
      else { continue }
      sent(state)
      goOn(stream)
    }
  }

  func hasRoom(_ link: Link) {
    flush()
    if isStubborn, isOpen, end.output.isEmpty { arrived(link) }
  }

  // MARK: Ends

  func ended(_ link: Link) {
    if isOpen, link.fromProxy.arrived == 0 { close(reset: false) }
  }

  func wasReset(_ link: Link) {
    if isOpen { close(reset: false) }
  }

  func crash() {
    if isOpen { close(reset: true) }
  }

  private func close(reset: Bool) {
    guard isOpen else { return }
    isOpen = false
    // RST may overtake what has not been read; and whatever still comes here makes it one.
    for answer in answers { answer.isFaulty = true }
    for (stream, state) in serving { lose(stream, state) }
    serving.removeAll()
    world.peerClose(link, reset: reset)
  }
}
