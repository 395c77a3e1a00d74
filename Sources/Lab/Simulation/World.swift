import Balancing
import Configuration
import Glibc
import Primitives
import ProxyCore
import Telemetry

/// A front door, its clients, its backends and the network between them, in one value of virtual
/// time. Everything that happens comes from one agenda; everything that is random from one seed.
final class World {
  /// Virtual time after which somebody must have been forgotten.
  private static let patience = TimeAmount.seconds(4 * 3_600)
  /// Happenings after which the world must be running in circles.
  private static let happeningLimit = 5_000_000

  let scenario: Scenario
  private(set) var now = Instant(nanoseconds: 1_000_000_000)
  private var agenda = Agenda()
  var trace = Trace()
  /// The network's and the loops' dice.
  var network: SeededRandom
  private var operatorDice: SeededRandom
  private(set) var violation: String?

  var links: [Link] = []
  private(set) var loops: [LoopPerformer] = []
  private(set) var clients: [any User] = []
  private(set) var backends: [Backend] = []
  var backendConnections: [BackendConnection] = []
  private(set) var requests: [Request] = []
  private(set) var answers: [Answer] = []
  var builder = SnapshotBuilder()
  private var settings: Settings
  private var snapshots: [CoreSnapshot] = []
  private var announcements: [(from: Int, pool: Int, member: Int, change: BreakerChange)] = []

  private(set) var isDraining = false
  private(set) var isCut = false
  private var clientsLeft = 0
  /// What any configuration so far allows, by pool.
  private var retryRules: [String: RetryRules] = [:]
  /// Links that the kernel gave up with bytes unsent: their ends may look like anything.
  private var givenUp: Set<Int> = []
  private(set) var openings = 0
  var picks = 0
  /// Events told to the loops. Count.
  var tells = 0
  /// Requests that the loops counted as completed.
  var completed: UInt64 = 0
  var mostHeld = 0

  init(_ scenario: Scenario, isLoud: Bool = false) {
    self.scenario = scenario
    network = SeededRandom(seed: scenario.seed ^ 0x0ddba11)
    operatorDice = SeededRandom(seed: scenario.seed ^ 0x0bed1e)
    settings = scenario.settings
    trace.isLoud = isLoud
  }

  // MARK: The story

  func run() -> Report {
    begin()
    let deadline = now + Self.patience
    var happenings = 0
    while violation == nil, let next = agenda.next() {
      happenings += 1
      now = next.at
      if now > deadline || happenings > Self.happeningLimit {
        fail("the world does not come to rest")
        break
      }
      happen(next.happening)
    }
    if violation == nil { checkEnd() }
    return Report(self, happenings: happenings)
  }

  private func begin() {
    snapshots = [builder.build(settings)]
    noteRetryRules()
    for index in 0..<scenario.loops {
      loops.append(LoopPerformer(index: index, world: self, snapshot: snapshots[0]))
    }
    for place in 0..<Scenario.places { backends.append(Backend(place: place, world: self)) }
    var share = scenario.requests
    // By the clock: every request comes from a user of its own.
    let users = scenario.openArrivals == nil ? min(scenario.climate.users, share) : share
    var arrival = TimeAmount.zero
    for index in 0..<users {
      let count = share / (users - index)
      share -= count
      let speaksHTTP2 = operatorDice.chance(scenario.streamShare)
      clients.append(
        speaksHTTP2
          ? StreamClient(index: index, world: self, requests: count)
          : Client(index: index, world: self, requests: count))
    }
    clientsLeft = clients.count
    for client in clients {
      if let mean = scenario.openArrivals {
        arrival = arrival + operatorDice.exponential(mean)
        client.begin(after: arrival)
      } else {
        client.begin(after: operatorDice.between(.zero ... .milliseconds(30)))
      }
    }
    planOperator()
  }

  private func planOperator() {
    let climate = scenario.climate
    // A run of closed-loop users lasts about this long.
    let span = 0.1 * Double(scenario.requests) / Double(max(1, climate.users)) + 0.2
    func moment() -> Instant {
      now + .nanoseconds(Int64(operatorDice.unit() * span * 1e9))
    }
    for number in 0..<climate.reloads { plan(.reload(number), at: moment()) }
    for backend in backends where operatorDice.chance(climate.outages) {
      plan(.weather(backend: backend.place), at: moment())
    }
    for member in builder.members.indices where operatorDice.chance(climate.memberTurns) {
      plan(.memberTurn(member), at: moment())
    }
    if operatorDice.chance(climate.drainsEarly) { plan(.settle, at: moment()) }
  }

  private func happen(_ happening: Agenda.Happening) {
    switch happening {
    case .arrive(let link, let toProxy, let count):
      arrive(links[link], toProxy: toProxy, count)
    case .finish(let link, let toProxy): finish(links[link], toProxy: toProxy)
    case .reset(let link, let toProxy): reset(links[link], toProxy: toProxy)
    case .connected(let link, let code): connectionDecided(links[link], code)
    case .accepted(let link): acceptAtDoor(links[link])
    case .room(let link, let toProxy): room(links[link], toProxy: toProxy)
    case .turn(let loop): loops[loop].turn()
    case .deadline(let loop): loops[loop].deadlineCame()
    case .announcement(let number):
      let news = announcements[number]
      for loop in loops where loop.index != news.from {
        loop.peerReported(pool: news.pool, member: news.member, news.change)
      }
    case .farewell(let link): loops[links[link].loop].giveUpFarewell(links[link])
    case .client(let index, let wish, let generation):
      (clients[index] as? Client)?.wake(wish, generation)
    case .streamClient(let index, let wish, let stream, let generation):
      (clients[index] as? StreamClient)?.wake(wish, stream, generation)
    case .stream(let index, let wish, let stream):
      backendConnections[index].streams?.wake(wish, stream)
    case .backend(let index, let wish, let generation):
      backendConnections[index].wake(wish, generation)
    case .memberTurn(let member): turn(builder.members[member].cell, member)
    case .weather(let place): changeWeather(backends[place])
    case .reload: reload()
    case .apply(let loop, let number): loops[loop].apply(snapshots[number])
    case .settle: settle()
    case .drain:
      isDraining = true
      for loop in loops { loop.beginDrain() }
    case .cut:
      isCut = true
      for loop in loops { loop.cutAll() }
    case .mustBeGone(let link): checkGone(links[link])
    case .mustBeAborted(let request, let link, let offset, let isRead):
      checkAborted(requests[request], links[link], behind: offset, isRead: isRead)
    }
  }

  func plan(_ happening: Agenda.Happening, at instant: Instant) {
    agenda.plan(happening, at: max(instant, now))
  }

  func plan(_ happening: Agenda.Happening, after delay: TimeAmount) {
    agenda.plan(happening, at: now + delay)
  }

  /// Tells people, if they listen, what an end of HTTP/2 sends and gets.
  func listen(to end: FrameEnd, _ who: String) {
    guard trace.isLoud else { return }
    end.onFrame = { [unowned self] isSent, head in
      trace.tell(now, who, isSent: isSent, head)
    }
  }

  /// The first belief that broke; what follows from it is not told.
  func fail(_ text: String) {
    if violation == nil { violation = text }
  }

  // MARK: Connections

  /// A client's connection to a loop of the front door; nil when it no longer listens.
  func openClientLink(_ client: any User) -> Link? {
    guard !isDraining else { return nil }
    let link = makeLink(loop: network.below(scenario.loops), isUpstream: false)
    link.peer = client
    let arrival = now + link.latency
    link.toProxy.lastArrival = arrival
    plan(.accepted(link: link.id), at: arrival)
    return link
  }

  private func acceptAtDoor(_ link: Link) {
    guard !isDraining, let client = link.peer as? any User else {
      plan(.reset(link: link.id, toProxy: false), after: link.latency)
      link.proxyClosed = true
      link.closedByProxyAt = now
      return
    }
    loops[link.loop].adopt(link, client)
  }

  /// The front door's connection to a backend.
  func connect(loop: Int, handle: Handle, place: Int) -> Link {
    let link = makeLink(loop: loop, isUpstream: true)
    link.handle = handle
    let backend = backends[place]
    let roundTrip = link.latency + link.latency
    switch backend.weather {
    case .fair:
      let connection = BackendConnection(
        index: backendConnections.count, backend: backend, link: link)
      backendConnections.append(connection)
      link.peer = connection
      plan(.connected(link: link.id, code: 0), after: roundTrip)
    case .refusing:
      link.peerClosed = true
      plan(.connected(link: link.id, code: ECONNREFUSED), after: roundTrip)
    case .silent:
      link.peerClosed = true
    }
    return link
  }

  private func connectionDecided(_ link: Link, _ code: Int32) {
    guard !link.proxyClosed else { return }
    if code == 0, let connection = link.peer as? BackendConnection { connection.accepted() }
    loops[link.loop].connected(link, code: code)
  }

  private func changeWeather(_ backend: Backend) {
    switch backend.weather {
    case .fair:
      backend.weather = operatorDice.chance(0.6) ? .refusing : .silent
      if operatorDice.chance(0.7) { backend.dropAll() }
      plan(.weather(backend: backend.place), after: operatorDice.milliseconds(50, 4_000))
    case .refusing, .silent:
      backend.weather = .fair
    }
  }

  // MARK: The operator

  private func turn(_ cell: LoadCell, _ member: Int) {
    if cell.isDraining || cell.health == .bad {
      cell.setDraining(false)
      cell.setHealth(.good)
    } else {
      if operatorDice.chance(0.5) { cell.setDraining(true) } else { cell.setHealth(.bad) }
      plan(.memberTurn(member), after: operatorDice.milliseconds(20, 2_000))
    }
  }

  private func reload() {
    guard !isDraining else { return }
    settings = Scenario.edit(settings, scenario, &operatorDice)
    snapshots.append(builder.build(settings))
    noteRetryRules()
    for loop in loops {
      plan(
        .apply(loop: loop.index, reload: snapshots.count - 1),
        after: network.between(.zero ... .microseconds(300)))
    }
  }

  /// How often a request may be tried.
  struct RetryRules {
    var attempts: Int
    var mayRepeat: Bool
  }

  private func noteRetryRules() {
    for pool in settings.pools {
      let known = retryRules[pool.name]
      retryRules[pool.name] = RetryRules(
        attempts: max(pool.retry.attempts, known?.attempts ?? 0),
        mayRepeat: pool.retry.nonIdempotent || known?.mayRepeat ?? false)
    }
  }

  func retryRules(of request: Request) -> RetryRules? {
    let digits = request.target.dropFirst("/sim/p".count).prefix { $0.isNumber }
    return retryRules["pool\(digits)"]
  }

  private var isSettling = false

  private func settle() {
    guard !isSettling else { return }
    isSettling = true
    for loop in loops { loop.beginSettling() }
    plan(.drain, after: .milliseconds(20))
    plan(.cut, after: operatorDice.chance(0.5) ? .milliseconds(80) : .seconds(60))
  }

  /// A user is done; the last one switches off the light.
  func clientDone() {
    clientsLeft -= 1
    if clientsLeft == 0 { settle() }
  }

  func announce(from loop: Int, pool: Int, member: Int, _ change: BreakerChange) {
    if case .opened = change { openings += 1 }
    announcements.append((loop, pool, member, change))
    plan(
      .announcement(announcements.count - 1),
      after: network.between(.zero ... .microseconds(200)))
  }

  // MARK: The ledger

  func newRequest(user: Int) -> Request {
    let request = Request(id: requests.count, user: user)
    requests.append(request)
    return request
  }

  func newAnswer(to request: Request) -> Answer {
    let answer = Answer(id: answers.count, request: request)
    answers.append(answer)
    request.lastSaid = answer
    return answer
  }

  func bytesSent(_ link: Link?) -> Int { link?.toProxy.sent ?? 0 }

  func gaveUp(_ link: Link) { givenUp.insert(link.id) }
  func wasGivenUp(_ link: Link) -> Bool { givenUp.contains(link.id) }
}
