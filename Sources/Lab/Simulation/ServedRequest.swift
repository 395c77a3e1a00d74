import Primitives

/// One request as a backend gets it, held to the ledger.
final class ServedRequest {
  let request: Request
  private let attempt: Attempt
  private unowned let backend: Backend
  private var bodyBytes = 0
  private var trailer: String?
  private var isOver = false

  /// Its body has come whole.
  var isComplete: Bool { attempt.isComplete }

  private var world: World { backend.world }

  /// - Parameter sentAt: when the front door wrote the head.
  /// - Returns: nil when nobody sent it.
  init?(
    _ head: MessageHead, at backend: Backend, by link: Link, sentAt: Instant, isHTTP2: Bool
  ) {
    let world = backend.world
    guard let text = head.value("x-sim-id"), let id = Int(text), id < world.requests.count else {
      world.fail("backend \(backend.place) got a request that nobody sent: \(head.start.1)")
      return nil
    }
    self.backend = backend
    request = world.requests[id]
    attempt = Attempt(place: backend.place, at: world.now, link: link)
    check(head, isHTTP2: isHTTP2)
    checkRepetition(sentAt)
    request.attempts.append(attempt)
    backend.active += 1
    backend.mostActive = max(backend.mostActive, backend.active)
  }

  /// The backend works on it no more.
  func leave() {
    guard !isOver else { return }
    isOver = true
    attempt.isOver = true
    backend.active -= 1
  }

  /// The head must say what the client said, and what a front door adds, and nothing else.
  private func check(_ head: MessageHead, isHTTP2: Bool) {
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
    checkFraming(head, isHTTP2: isHTTP2)
    // A stream is no tunnel, and is asked as if nobody had wished for one.
    let upgrade = request.wantsTunnel && !isHTTP2 ? "websocket" : nil
    expect("upgrade", head.value("upgrade"), upgrade)
    if head.count("host") != 1 || head.count("x-request-id") != 1 {
      world.fail("\(request.tag): host or x-request-id is not there exactly once")
    }
    let options = head.value("te") == nil ? ["upgrade"] : ["te"]
    if let connection = head.value("connection"), !options.contains(connection.lowercased()) {
      world.fail("\(request.tag): connection '\(connection)' went upstream")
    }
    if let te = head.value("te"), te != "trailers" { world.fail("\(request.tag): te '\(te)'") }
    if !request.isForwarded { world.fail("\(request.tag) must not reach a backend") }
  }

  /// Sent again only where the rules allow it.
  private func checkRepetition(_ sentAt: Instant) {
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
    if let seen = request.firstByteAt, sentAt > seen {
      world.fail("\(request.tag) was tried again after its client had seen an answer")
    }
    let isSteady = world.scenario.climate.reloads == 0
    if isSteady, request.attempts.contains(where: { $0.place == backend.place }) {
      world.fail("\(request.tag) was tried twice by the same member")
    }
  }

  /// A length that the client said is said again. Where it said none, a front door that has seen the
  /// end of a stream may say what it has seen.
  private func checkFraming(_ head: MessageHead, isHTTP2: Bool) {
    let said = head.value("content-length")
    let coding = head.value("transfer-encoding")
    var wanted = [request.isChunked ? nil : request.length.map(String.init)]
    var codings: [String?] = [request.isChunked && !isHTTP2 ? "chunked" : nil]
    if request.isStream, request.isChunked || request.length == nil {
      wanted.append(String(request.length ?? 0))
      let mayBeNone = request.length == nil || said != nil || isHTTP2
      codings = said == nil && !isHTTP2 ? ["chunked"] : []
      if mayBeNone { codings.append(nil) }
    }
    if !wanted.contains(said) {
      world.fail("\(request.tag): content-length is \(said ?? "missing"), not \(wanted)")
    }
    if !codings.contains(coding) {
      world.fail("\(request.tag): transfer-encoding is \(coding ?? "missing"), not \(codings)")
    }
  }

  func took(_ body: UnsafeRawBufferPointer) {
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

  func tookTrailer(_ name: String, _ value: String) {
    if name != "x-sim-trailer" || trailer != nil {
      world.fail("\(request.tag): trailer \(name) was not sent")
    }
    trailer = value
  }

  func completed() {
    if request.isBroken { world.fail("\(request.tag) was completed, and its syntax is wrong") }
    if bodyBytes != request.length ?? 0 {
      world.fail("\(request.tag): \(bodyBytes) of \(request.length ?? 0) body bytes came")
    }
    if trailer != request.trailer {
      world.fail(
        "\(request.tag): its trailer is \(trailer ?? "missing"), not "
          + (request.trailer ?? "missing"))
    }
    attempt.isComplete = true
  }
}
