import Primitives

/// One user of the front door, whichever version of HTTP it speaks.
protocol User: Peer {
  var index: Int { get }
  var address: SocketAddress { get }
  /// It comes through a load balancer, which says so.
  var isBehindBalancer: Bool { get }
  func begin(after delay: TimeAmount)
  /// Its end must make the front door let go at once.
  func mustBeNoticed(_ link: Link) -> Bool
}

/// What clients get, held to the ledger.
extension World {
  /// A final head has come.
  func tookHead(of request: Request, _ head: MessageHead) {
    if request.firstByteAt == nil { request.firstByteAt = now }
    request.received = 0
    guard let text = head.value("x-sim-answer") else {
      request.ownStatus = head.status
      return
    }
    guard let id = Int(text), id < answers.count else {
      fail("\(request.tag) got answer '\(text)', which nobody made")
      return
    }
    let answer = answers[id]
    request.answer = answer
    if answer.request !== request {
      fail("\(request.tag) got answer \(text), which is to \(answer.request.tag)")
    } else if answer.status != head.status {
      fail("\(request.tag) got status \(head.status), and its backend said \(answer.status)")
    } else if head.value("x-sim-canary") != answer.canary {
      fail("\(request.tag): a field of its answer was changed")
    }
  }

  func tookBody(of request: Request, _ body: UnsafeRawBufferPointer) {
    guard let answer = request.answer else { return }
    if request.received + body.count > answer.length {
      fail(
        "\(request.tag) got \(request.received + body.count) bytes of answer \(answer.id), "
          + "which has \(answer.length)")
    } else if !Pattern.matches(body, offset: answer.offset, position: request.received) {
      fail(
        "\(request.tag): bytes \(request.received)..<\(request.received + body.count) of answer "
          + "\(answer.id) are not those that its backend sent")
    }
    request.received += body.count
  }

  func tookTrailer(of request: Request, _ name: String, _ value: String) {
    guard request.answer != nil else { return }
    if name != "x-sim-trailer" || request.trailerSeen != nil {
      fail("\(request.tag): trailer \(name) of its answer was not sent")
    }
    request.trailerSeen = value
  }

  /// The answer is whole, as its framing has it.
  func tookEnd(of request: Request) {
    request.isDone = true
    if request.isBroken, request.answer != nil, !request.isAnswerableEarly {
      fail("\(request.tag) was answered by a backend, and its syntax is wrong")
    }
    guard let answer = request.answer else {
      conclude(request, .refused(status: request.ownStatus))
      return
    }
    if request.received != answer.length, request.method != "HEAD" {
      fail(
        "\(request.tag): answer \(answer.id) with status \(answer.status) ended after "
          + "\(request.received) of \(answer.length) bytes\(answer.story)")
    }
    if !answer.isWhole {
      fail(
        "\(request.tag) got a whole answer, and its backend never finished one: " + answer.story)
    }
    if !request.isHTTP10, request.trailerSeen != answer.trailer {
      fail(
        "\(request.tag): the trailer of its answer is \(request.trailerSeen ?? "missing"), not "
          + (answer.trailer ?? "missing"))
    }
    conclude(request, .answered(status: answer.status))
  }
}
