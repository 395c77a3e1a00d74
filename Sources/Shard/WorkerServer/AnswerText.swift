import Generation
import JSON
import WorkerAPI

/// Answers and pieces of streamed answers, in OpenAI's shapes.
struct AnswerText {
  let text: any TextModel

  // MARK: Whole

  func whole(_ job: Job) -> [UInt8] {
    let isChat = job.request.kind == .chat
    var json = JSONText(capacity: 512)
    json.object {
      begin(&$0, job, isChat ? "chat.completion" : "text_completion")
      $0.array("choices") {
        for choice in job.choices {
          $0.object {
            $0.put("index", choice.index)
            if isChat {
              $0.object("message") {
                $0.put("role", "assistant")
                $0.put("content", choice.text)
                $0.put("refusal", nil as String?)
              }
            } else {
              $0.put("text", choice.text)
            }
            logprobs(&$0, job, choice.logprobs)
            $0.put("finish_reason", choice.finish)
          }
        }
      }
      usage(&$0, job.usage)
    }
    return json.bytes
  }

  // MARK: Pieces

  /// What the first piece of a chat says: whose turn it is.
  func opening(_ job: Job, _ index: Int) -> [UInt8] {
    event(job) {
      $0.object {
        $0.put("index", index)
        $0.object("delta") {
          $0.put("role", "assistant")
          $0.put("content", "" as String?)
        }
        $0.put("logprobs", nil as String?)
        $0.put("finish_reason", nil as String?)
      }
    }
  }

  func piece(
    _ job: Job, _ choice: Choice, _ entries: [Choice.LogprobEntry], _ shown: String
  ) -> [UInt8] {
    event(job) {
      $0.object {
        $0.put("index", choice.index)
        if job.request.kind == .chat {
          $0.object("delta") { $0.put("content", shown) }
        } else {
          $0.put("text", shown)
        }
        logprobs(&$0, job, entries)
        $0.put("finish_reason", nil as String?)
      }
    }
  }

  /// The last piece of a text: why it is over.
  func closing(_ job: Job, _ choice: Choice) -> [UInt8] {
    event(job) {
      $0.object {
        $0.put("index", choice.index)
        if job.request.kind == .chat {
          $0.object("delta") { _ in }
        } else {
          $0.put("text", "" as String?)
        }
        $0.put("logprobs", nil as String?)
        $0.put("finish_reason", choice.finish)
      }
    }
  }

  /// The piece behind all texts that says what they cost, for clients that asked.
  func usagePiece(_ job: Job) -> [UInt8] {
    var json = JSONText(capacity: 256)
    json.object {
      begin(&$0, job, object(job))
      $0.array("choices") { _ in }
      usage(&$0, job.usage)
    }
    return framed(json.bytes)
  }

  static let done = Array("data: [DONE]\n\n".utf8)

  func error(_ error: APIError) -> [UInt8] { framed(error.json) }

  private func event(_ job: Job, _ choice: (inout JSONText) -> Void) -> [UInt8] {
    var json = JSONText(capacity: 256)
    json.object {
      begin(&$0, job, object(job))
      $0.array("choices", choice)
      if job.request.includesUsage { $0.put("usage", nil as String?) }
    }
    return framed(json.bytes)
  }

  private func framed(_ json: [UInt8]) -> [UInt8] {
    Array("data: ".utf8) + json + Array("\n\n".utf8)
  }

  private func object(_ job: Job) -> String {
    job.request.kind == .chat ? "chat.completion.chunk" : "text_completion"
  }

  private func begin(_ json: inout JSONText, _ job: Job, _ object: String) {
    json.put("id", job.id)
    json.put("object", object)
    json.put("created", Int(job.created))
    json.put("model", job.request.model)
  }

  private func usage(_ json: inout JSONText, _ usage: Usage) {
    json.object("usage") {
      $0.put("prompt_tokens", usage.prompt)
      $0.put("completion_tokens", usage.completion)
      $0.put("total_tokens", usage.prompt + usage.completion)
      $0.object("prompt_tokens_details") { $0.put("cached_tokens", usage.cached) }
    }
  }

  // MARK: Log probabilities

  private func logprobs(
    _ json: inout JSONText, _ job: Job, _ entries: [Choice.LogprobEntry]
  ) {
    guard job.request.sampling.logprobs != nil else {
      return json.put("logprobs", nil as String?)
    }
    if job.request.kind == .chat {
      json.object("logprobs") {
        $0.array("content") { for entry in entries { chatEntry(&$0, entry) } }
        $0.put("refusal", nil as String?)
      }
    } else {
      completionEntries(&json, entries)
    }
  }

  private func chatEntry(_ json: inout JSONText, _ entry: Choice.LogprobEntry) {
    json.object {
      token(&$0, entry.token, entry.logprobs.drawn)
      $0.array("top_logprobs") {
        for top in entry.logprobs.top {
          $0.object { token(&$0, top.token, top.logprob) }
        }
      }
    }
  }

  private func token(_ json: inout JSONText, _ token: Int32, _ logprob: Float) {
    json.put("token", text.shownText(of: token))
    json.put("logprob", Self.finite(logprob), places: 6)
    json.array("bytes") { for byte in text.bytes(of: token) { $0.value(Int(byte)) } }
  }

  private func completionEntries(_ json: inout JSONText, _ entries: [Choice.LogprobEntry]) {
    json.object("logprobs") {
      $0.array("tokens") { for entry in entries { $0.value(text.shownText(of: entry.token)) } }
      $0.array("token_logprobs") {
        for entry in entries { $0.value(Self.finite(entry.logprobs.drawn), places: 6) }
      }
      $0.array("top_logprobs") {
        for entry in entries {
          // Parts of characters look alike, and a name may stand once: the likelier stays.
          var names = Set<String>()
          $0.object {
            for top in entry.logprobs.top {
              let name = text.shownText(of: top.token)
              guard names.insert(name).inserted else { continue }
              $0.put(named: name, Self.finite(top.logprob), places: 6)
            }
          }
        }
      }
      $0.array("text_offset") { for entry in entries { $0.value(entry.offset) } }
    }
  }

  /// JSON has no infinity; OpenAI's own value for what is that unlikely.
  private static func finite(_ value: Float) -> Double {
    value.isFinite ? Double(value) : -9_999
  }
}

extension TextModel {
  /// A token as clients see it: with U+FFFD where it is a part of a character.
  func shownText(of token: Int32) -> String { String(decoding: bytes(of: token), as: UTF8.self) }
}
