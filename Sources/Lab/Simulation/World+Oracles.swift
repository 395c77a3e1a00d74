import Primitives

/// What is asked when all is over, and of things that take a while.
extension World {
  /// A client that leaves has its request aborted within this time, the loop's delay included.
  private static var abortTime: TimeAmount { .milliseconds(100) }

  /// The end of a client's connection has come to the front door.
  func mayHaveLeft(_ link: Link) {
    guard !link.isUpstream, !link.proxyClosed, let client = link.peer as? any User else { return }
    if client.mustBeNoticed(link) { plan(.mustBeGone(link: link.id), after: Self.abortTime) }
  }

  func checkGone(_ link: Link) {
    guard !link.proxyClosed, let socket = loops[link.loop].sockets[link.handle],
      socket.link === link
    else { return }
    fail("a client left and its connection \(link.handle) is still served \(Self.abortTime) later")
  }

  /// A client has given up one of its streams, and has said so in the bytes up to `offset`.
  func mustBeAborted(_ request: Request, by link: Link?, behind offset: Int) {
    guard let link else { return }
    plan(
      .mustBeAborted(request: request.id, link: link.id, behind: offset, isRead: false),
      after: Self.abortTime)
  }

  func checkAborted(_ request: Request, _ link: Link, behind offset: Int, isRead: Bool) {
    guard !link.proxyClosed, !link.peerClosed else { return }
    guard isRead else {
      // The loop's delay and the way to the backend are far shorter.
      let hasRead = link.toProxy.read >= offset
      plan(
        .mustBeAborted(request: request.id, link: link.id, behind: offset, isRead: hasRead),
        after: hasRead ? .seconds(2) : Self.abortTime)
      return
    }
    for attempt in request.attempts where !attempt.isOver {
      // What says so may stand behind bytes that the backend does not read.
      guard let link = attempt.link, link.fromProxy.queue.isEmpty, !link.fromProxy.senderWaits
      else { continue }
      fail("\(request.tag) was given up, and backend \(attempt.place) still works on it")
    }
  }

  func checkEnd() {
    for loop in loops { loop.checkEnd() }
    for (id, member) in builder.members.enumerated() where member.cell.inFlight != 0 {
      fail("member \(id) '\(member.name)' still counts \(member.cell.inFlight) requests in flight")
    }
    for member in builder.members where member.cell.isProbing {
      fail("the right to probe '\(member.name)' was not given back")
    }
    for request in requests where request.outcome == nil {
      fail("\(request.tag) never ended")
    }
    checkRecords()
    for backend in backends where backend.active != 0 {
      fail("backend \(backend.place) still works on \(backend.active) requests")
    }
  }

  /// What the loops counted as completed is what clients have got, and what was lost on its way to
  /// those that left.
  private func checkRecords() {
    var whole: UInt64 = 0
    var lost: UInt64 = 0
    for request in requests {
      switch request.outcome {
      case .answered: whole += 1
      case .cut, .unanswered, .left: lost += 1
      case nil, .refused, .tunnelled: break
      }
    }
    if completed < whole || completed > whole + lost {
      fail(
        "\(completed) requests were recorded as completed; clients got \(whole) answers, and "
          + "\(lost) more may have got lost")
    }
  }

  /// The one outcome of a request.
  func conclude(_ request: Request, _ outcome: Request.Outcome) {
    if let former = request.outcome {
      fail("\(request.tag) ended twice: \(former), then \(outcome)")
    }
    request.outcome = outcome
    guard scenario.climate.name == .calm, scenario.mutation == .none, !isDraining else { return }
    switch outcome {
    case .answered, .tunnelled: break
    case .refused where !request.isForwarded: break
    case .refused, .cut, .unanswered, .left:
      fail("\(request.tag) ended as \(outcome) on a calm day")
    }
  }

  // MARK: For mutations

  func crossInto(_ link: Link, _ bytes: UnsafeRawBufferPointer) {
    let others = links.filter {
      !$0.isUpstream && $0 !== link && !$0.proxyClosed && !$0.handle.isNone && !$0.peerClosed
    }
    if let other = others.last { _ = proxySend(other, bytes) }
  }

  func repeatRequest(loop: Int, place: Int, _ bytes: UnsafeRawBufferPointer) {
    let link = makeLink(loop: loop, isUpstream: true)
    let connection = BackendConnection(
      index: backendConnections.count, backend: backends[place], link: link)
    backendConnections.append(connection)
    link.peer = connection
    connection.accepted()
    _ = proxySend(link, bytes)
  }
}
