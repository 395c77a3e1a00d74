import JSON
import Testing

@testable import Text

struct GGUFTests {
  /// The vocabulary of a golden, as a GGUF file would hold it.
  private func gguf(
    _ family: String, pre: String, bos: Int32? = nil, addBOS: Bool? = nil
  ) throws -> Tokenizer {
    let file = try golden(family + ".tokenizer.json")
    let value = try JSONValue(file, .tolerant)
    let model = try #require(value["model"])
    var tokens = [String](repeating: "", count: try tokenizer(family).vocabularySize)
    var types = [Int32](repeating: 5, count: tokens.count)
    for case (let text, .number(let id)) in try members(model["vocab"]) {
      tokens[Int(id)] = text
      types[Int(id)] = 1
    }
    for added in try #require(value["added_tokens"]?.elements) {
      let id = try #require(added["id"]?.integer)
      tokens[id] = try #require(added["content"]?.text)
      types[id] = added["special"]?.flag == true ? 3 : 4
    }
    let merges = try #require(model["merges"]?.elements).map { merge in
      merge.text ?? (merge.elements ?? []).compactMap(\.text).joined(separator: " ")
    }
    return try Tokenizer(
      gguf: tokens, types: types, merges: merges, pre: pre, bos: bos, eos: nil, addBOS: addBOS)
  }

  private func members(_ value: JSONValue?) throws -> [String: JSONValue] {
    guard case .object(let members) = value else { return [:] }
    return members
  }

  /// llama.cpp's name of a pre-tokenizer means what tokenizer.json says in full.
  @Test(arguments: [
    ("gpt2", "gpt-2"), ("llama3", "llama-bpe"), ("qwen2", "qwen2"), ("qwen35", "qwen35"),
    ("deepseek3", "deepseek-v3"), ("deepseek2", "deepseek-llm"),
    ("deepseekcoder", "deepseek-coder"), ("smollm", "smollm"),
  ]) func namesMeanTheSameAsPatterns(family: String, pre: String) throws {
    let full = try tokenizer(family)
    let named = try gguf(family, pre: pre, addBOS: false)
    for text in try corpus() {
      for parse in [true, false] {
        #expect(
          named.encode(text, addSpecial: false, parseSpecial: parse)
            == full.encode(text, addSpecial: false, parseSpecial: parse),
          "\(text.debugDescription)")
      }
    }
  }

  @Test func llamaAddsItsBOSUnlessToldOtherwise() throws {
    let bos = try #require(try tokenizer("llama3").id(of: "<|endoftext|>"))
    let adds = try gguf("llama3", pre: "llama-bpe", bos: bos)
    #expect(adds.encode("", addSpecial: true, parseSpecial: false) == [bos])
    let doesNot = try gguf("llama3", pre: "llama-bpe", bos: bos, addBOS: false)
    #expect(doesNot.encode("", addSpecial: true, parseSpecial: false) == [])
  }

  @Test func contradictionsAreRefused() throws {
    func refusal(
      _ tokens: [String] = ["a", "b", "ab"], types: [Int32] = [], merges: [String] = ["a b"],
      pre: String = "gpt-2", bos: Int32? = nil, addBOS: Bool? = nil
    ) -> String? {
      do {
        _ = try Tokenizer(
          gguf: tokens, types: types, merges: merges, pre: pre, bos: bos, eos: nil, addBOS: addBOS)
        return nil
      } catch {
        return error.problem
      }
    }
    #expect(refusal() == nil)
    #expect(
      refusal(pre: "default")
        == "the file's tokenizer.ggml.pre is 'default', which is not supported; use the model's Hugging Face folder"
    )
    #expect(refusal(types: [1]) == "the file has 3 tokens but 1 token types")
    #expect(refusal(bos: 3) == "tokenizer.ggml.bos_token_id is 3, but the file has 3 tokens")
    #expect(
      refusal(addBOS: true)
        == "texts of this model begin with a BOS, but the file has no tokenizer.ggml.bos_token_id")
    #expect(
      refusal(merges: ["ab"])
        == "merge 1 is 'ab'; it must be two tokens with one space between them")
    #expect(
      refusal(["a", "a"], merges: [])
        == "the token 'a' stands twice, with the ids 0 and 1; the file is broken, fetch it again")
    // Holes are no tokens.
    #expect(refusal(["", "", "a"], merges: []) == nil)
  }
}
