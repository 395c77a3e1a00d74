import Generation
import Glibc
import Primitives
import WorkerAPI

/// Texts under way: from a request to its answer.
extension WorkerServer {
  func submit(_ request: TextRequest, _ reply: any TextReply, since start: Instant) {
    let prefix = request.kind == .chat ? "chatcmpl-" : "cmpl-"
    let job = Job(
      id: prefix + String(UInt64.random(in: 0...UInt64.max), radix: 16), request: request,
      created: Int64(time(nil)), start: start, reply: reply)
    let seed = request.hasSeed ? request.sampling.seed : UInt64.random(in: 0...UInt64.max)
    var orders: [GenerationRequest] = []
    for (place, prompt) in request.prompts.enumerated() {
      for number in 0..<request.choices {
        let choice = Choice(
          index: place * request.choices + number, prompt: place, id: makeID(), request: request,
          stream: text.makeTextStream(skipsSpecial: request.skipsSpecial), echo: prompt.echo)
        var sampling = request.sampling
        // Texts of one request differ; the first is what a request for one text would get.
        sampling.seed = seed &+ UInt64(number) &* 0x9e37_79b9_7f4a_7c15
        orders.append(
          GenerationRequest(
            id: choice.id, prompt: prompt.tokens, sampling: sampling,
            maxTokens: request.maxTokens ?? card.contextLimit, minTokens: request.minTokens,
            endTokens: request.endTokens, priority: request.priority,
            deadline: settings.requestTimeout.map { start + $0 } ?? .never))
        job.choices.append(choice)
        job.lastTokens.append(nil)
      }
    }
    for (index, choice) in job.choices.enumerated() { jobs[choice.id] = (job, index) }
    metrics.promptTokens += UInt64(request.prompts.reduce(0) { $0 + $1.tokens.count })
    reply.onClose = { [weak self, weak job] in
      guard let self, let job else { return }
      self.forget(job, .left)
    }
    // After a pause, progress counts from the first new work.
    if jobs.count == job.choices.count { lastProgress = now() }
    for order in orders { engine.submit(order) }
  }

  // MARK: What the engine says

  func took(_ token: GeneratedToken) {
    guard let (job, index) = jobs[token.id] else { return }
    let now = now()
    lastProgress = now
    metrics.generatedTokens += 1
    if job.firstToken == nil {
      job.firstToken = now
      metrics.firstToken.record(now - job.start)
    }
    if let last = job.lastTokens[index] { metrics.gap.record(now - last) }
    job.lastTokens[index] = now
    let shown = job.choices[index].append(token)
    begin(job)
    show(job, index, shown)
    if job.choices[index].isOver {
      engine.abort(id: token.id)
      close(job, index)
    }
  }

  func finished(_ id: UInt64, _ reason: FinishReason) {
    guard let (job, index) = jobs[id] else { return }
    switch reason {
    case .endToken, .length:
      let rest = job.choices[index].end(reason == .endToken ? "stop" : "length")
      begin(job)
      show(job, index, rest)
      close(job, index)
    case .deadline:
      fail(job, APIError(.timeout, "The text was not ready in time.", code: "timeout"))
    case .outOfMemory:
      fail(
        job,
        APIError(
          .contextLength,
          "The text does not fit into this worker's memory for keys and values; ask for fewer "
            + "tokens, or give the worker more with --kv-memory.", code: "kv_memory"))
    case .overloaded:
      fail(
        job,
        APIError(
          .queueFull, "The engine's queue is full; try again later, or ask another.",
          code: "queue_full", retrySeconds: settings.queueRetrySeconds))
    case .notANumber:
      fail(
        job,
        APIError(
          .broken, "The model made no numbers for this text: its weights may be damaged.",
          code: "not_a_number"))
    }
  }

  // MARK: What the client gets

  /// The head of a streamed answer, with the first token: until then an error has a status.
  private func begin(_ job: Job) {
    guard job.request.isStreamed, !job.hasBegun else { return }
    job.hasBegun = true
    job.reply.begin(job)
    giveUpIfSlow(job)
  }

  private func show(_ job: Job, _ index: Int, _ shown: String) {
    guard job.request.isStreamed else {
      job.choices[index].text += shown
      return
    }
    guard !shown.isEmpty || (job.choices[index].isOver && !job.choices[index].logprobs.isEmpty)
    else { return }
    guard job.reply.isOpen else { return }
    job.reply.show(job, job.choices[index], shown)
    job.choices[index].logprobs.removeAll(keepingCapacity: true)
    giveUpIfSlow(job)
  }

  /// One text is over; with the last of them the answer is.
  private func close(_ job: Job, _ index: Int) {
    let choice = job.choices[index]
    guard jobs.removeValue(forKey: choice.id) != nil else { return }
    let outcome: WorkerMetrics.Outcome = choice.finish == "length" ? .length : .stop
    metrics.outcomes[outcome, default: 0] += 1
    if job.request.isStreamed, job.reply.isOpen {
      job.reply.close(job, choice)
      giveUpIfSlow(job)
    }
    guard job.isOver, job.reply.isOpen else { return }
    job.reply.onClose = nil
    metrics.duration.record(now() - job.start)
    job.reply.end(job)
    drainedIfIdle()
  }

  /// A client that does not read may be behind by so much, and no more.
  private func giveUpIfSlow(_ job: Job) {
    guard job.reply.isOpen, job.reply.unsentBytes > settings.heldBytes else { return }
    job.reply.onClose = nil
    job.reply.reset()
    forget(job, .slow)
  }

  // MARK: Ends before the end

  /// Ends a job with an error, as plainly as its answer still allows.
  func fail(_ job: Job, _ error: APIError) {
    release(job, .failed)
    job.reply.onClose = nil
    if job.hasBegun {
      metrics.refusals[error.reason, default: 0] += 1
      job.reply.fail(error)
    } else {
      refuse(job.reply, error)
    }
    // Only now: with the last job the process may end.
    drainedIfIdle()
  }

  func loseAll(_ error: APIError) {
    var seen: [ObjectIdentifier: Job] = [:]
    for (job, _) in jobs.values { seen[ObjectIdentifier(job)] = job }
    for job in seen.values { fail(job, error) }
  }

  /// Tells the engine to stop, and lets go.
  private func forget(_ job: Job, _ outcome: WorkerMetrics.Outcome) {
    release(job, outcome)
    drainedIfIdle()
  }

  private func release(_ job: Job, _ outcome: WorkerMetrics.Outcome) {
    for choice in job.choices where jobs.removeValue(forKey: choice.id) != nil {
      metrics.outcomes[outcome, default: 0] += 1
      if case .ready = engine.state { engine.abort(id: choice.id) }
    }
  }
}
