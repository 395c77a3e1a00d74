import Primitives
import WorkerAPI

/// From jobs to batches and back.
extension EmbedServer {
  func submit(_ job: EmbedJob) {
    jobs += 1
    texts += job.request.count
    job.reply.onClose = { [weak self, weak job] in
      guard let self, let job else { return }
      waiting.removeAll { $0 === job }
      end(job, .left)
    }
    waiting.append(job)
    runBatch()
  }

  /// What the encoder's thread tells. On the loop only.
  package func heard(_ event: EncoderEvent) {
    switch event {
    case .ready(let weightBytes):
      state = .ready(weightBytes: weightBytes)
      onState?(event)
      onReadiness?()
    case .failed(let why):
      state = .failed(why)
      onState?(event)
      onReadiness?()
    case .done(let vectors): finished(vectors)
    }
  }

  /// Fills a batch with what waits, unless one is being computed: one text of each job in its turn, so
  /// that a request of a single text does not wait behind all of a long one.
  private func runBatch() {
    guard running.isEmpty, !waiting.isEmpty, let encoder else { return }
    var batch = EncoderThread.Batch()
    var place = 0
    while place < waiting.count {
      let job = waiting[place]
      guard let text = job.nextText else { preconditionFailure("a job waits without a text") }
      guard batch.tokens.isEmpty || batch.tokens.count + text.count <= settings.batchTokens
      else { break }
      batch.tokens += text
      batch.lengths.append(text.count)
      running.append((job, job.taken))
      job.taken += 1
      place += 1
      if job.nextText != nil { waiting.append(job) }
    }
    waiting.removeFirst(place)
    batchStart = now()
    batchTokens = batch.tokens.count
    encoder.submit(batch)
  }

  /// Requests of which no text was taken yet. Count.
  var untouchedJobs: Int { waiting.count { $0.taken == 0 } }

  private func finished(_ vectors: [Float]) {
    let batch = running
    running = []
    metrics.batches += 1
    metrics.batchTime.record(now() - batchStart)
    metrics.tokens += UInt64(batchTokens)
    metrics.texts += UInt64(batch.count)
    // The thread goes on while answers are written.
    runBatch()
    let size = model.size
    for (place, part) in batch.enumerated() where !part.job.isOver {
      let vector = vectors[place * size..<(place + 1) * size]
      guard vector.allSatisfy(\.isFinite) else {
        fail(
          part.job,
          APIError(
            .broken, "The model made numbers of this text that are none (NaN or infinite).",
            param: "input"))
        continue
      }
      part.job.vectors.replaceSubrange(
        part.text * size..<(part.text + 1) * size, with: vector)
      part.job.done += 1
      if part.job.done == part.job.request.count { answer(part.job) }
    }
  }

  private func fail(_ job: EmbedJob, _ error: APIError) {
    waiting.removeAll { $0 === job }
    job.reply.onClose = nil
    refuse(job.reply, error)
    end(job, .failed)
  }

  /// Gives up what still waits or is being computed.
  func failAll(_ error: APIError) {
    for job in waiting + running.map(\.job) where !job.isOver { fail(job, error) }
  }

  // MARK: Answers

  /// A long answer counts as in flight until it is out, so that clients that do not read cannot make
  /// the server hold more than its queue allows.
  func send(_ body: EmbedShape.Body, _ job: EmbedJob) {
    job.vectors = []
    job.reply.send(body) { [weak self] in self?.end(job, .answered) }
  }

  private func end(_ job: EmbedJob, _ outcome: EmbedMetrics.Outcome) {
    guard !job.isOver else { return }
    job.isOver = true
    job.vectors = []
    jobs -= 1
    texts -= job.request.count
    metrics.outcomes[outcome, default: 0] += 1
    if outcome == .answered { metrics.duration.record(now() - job.start) }
    drainedIfIdle()
  }
}
