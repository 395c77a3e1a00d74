import JSON

/// What the model's authors recommend for drawing tokens: generation_config.json. A request overrides
/// each of them; nil where the file has nothing to say.
package struct GenerationDefaults: Equatable, Sendable {
  /// 0 where the file says `do_sample: false`: the likeliest token is taken.
  package var temperature: Float?
  package var topK: Int?
  package var topP: Float?
  package var minP: Float?
  package var repetitionPenalty: Float?
  package var maxNewTokens: Int?
  package var endTokens: [Int32] = []

  package init() {}

  init(_ file: MappedFile, vocabulary: Int) throws(ModelComplaint) {
    let reader = try ConfigReader(file)
    func real(_ name: String, _ range: ClosedRange<Double>) throws(ModelComplaint) -> Float? {
      reader[name] == nil ? nil : Float(try reader.real(name, range))
    }
    temperature = try real("temperature", 0...100)
    topK = try reader.optionalCount("top_k", 0...Believable.vocabulary.upperBound)
    topP = try real("top_p", 0...1)
    minP = try real("min_p", 0...1)
    repetitionPenalty = try real("repetition_penalty", 1e-3...1e3)
    maxNewTokens = try reader.optionalCount("max_new_tokens", Believable.context)
    endTokens = try reader.tokens("eos_token_id", below: vocabulary)
    if try !reader.flag("do_sample", default: true) {
      temperature = 0
    }
  }
}
