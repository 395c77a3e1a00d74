import JSON
import Testing

@testable import Text

/// Files of strangers: each mistake has its sentence, and none is a crash.
struct RefusalTests {
  @Test func theSmallestFileIsTaken() throws {
    let tokenizer = try Tokenizer(huggingFace: minimal(), config: nil)
    #expect(tokenizer.encode("abcabba", addSpecial: true, parseSpecial: true) == [4, 3, 1, 0])
    // Bytes that the vocabulary lacks are dropped, as Hugging Face does without an unknown token,
    // and what stood around them may merge.
    #expect(tokenizer.encode("xaéb", addSpecial: true, parseSpecial: true) == [3])
  }

  @Test(arguments: [
    (
      #""vocab":{"a":0,"b":1},"merges":["a b"]"#,
      "merge 1, of 'a' and 'b', needs the token 'ab', which the vocabulary lacks; the file is broken, fetch it again"
    ),
    (
      #""vocab":{"a":0,"b":1},"merges":[["a","x"]]"#,
      "merge 1, of 'a' and 'x', needs the token 'x', which the vocabulary lacks; the file is broken, fetch it again"
    ),
    (
      #""vocab":{"a":0,"b":1},"merges":["a b c"]"#,
      "merge 1 is 'a b c'; it must be two tokens with one space between them"
    ),
    (#""vocab":{"a":0,"b":1},"merges":[7]"#, "the file is not JSON at byte 55: expected a string"),
    (#""vocab":{"a":0}"#, "the BPE model has no merges"),
    (
      #""vocab":{"a":0,"b":0},"merges":[]"#,
      "two tokens have the id 0: 'a' and 'b'; the file is broken, fetch it again"
    ),
    (
      #""vocab":{"a":0,"a":1},"merges":[]"#,
      "the token 'a' stands twice, with the ids 0 and 1; the file is broken, fetch it again"
    ),
    (
      #""vocab":{"a":3000000000},"merges":[]"#,
      "the id of the token 'a' must be a whole number below 16777216"
    ),
    (
      #""vocab":{"a":99999999999999999999999999},"merges":[]"#,
      "the id of the token 'a' must be a whole number below 16777216"
    ),
    (
      #""vocab":{"a":-1},"merges":[]"#,
      "the id of the token 'a' must be a whole number below 16777216"
    ),
    (
      #""vocab":{"a":1.5},"merges":[]"#,
      "the id of the token 'a' must be a whole number below 16777216"
    ),
    (
      #""byte_fallback":true,"vocab":{"a":0},"merges":[]"#,
      "a BPE model with byte_fallback is not supported; only byte-level BPE is"
    ),
    (
      #""unk_token":"<unk>","vocab":{"a":0},"merges":[]"#,
      "the BPE model uses its unk_token '<unk>', since byte 0 is no token; that is not supported"
    ),
    (
      #""continuing_subword_prefix":"@@","vocab":{"a":0},"merges":[]"#,
      "a BPE model with continuing_subword_prefix '@@' is not supported"
    ),
    (
      #""dropout":0.1,"vocab":{"a":0},"merges":[]"#,
      "the BPE model has a dropout of 0.1, which is for training"
    ),
  ]) func modelsAreRefused(model: String, sentence: String) {
    #expect(refusal(minimal(model: model)) == sentence)
  }

  @Test(arguments: [
    (
      #"{"type":"Metaspace"}"#,
      "the pre_tokenizer 'Metaspace' is not supported; ByteLevel, Split, Digits, a Sequence of them and BertPreTokenizer are"
    ),
    (
      #"{"type":"ByteLevel","add_prefix_space":true}"#,
      "a ByteLevel pre_tokenizer with add_prefix_space is not supported"
    ),
    (
      #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Isolated","invert":false}]}"#,
      "the pre_tokenizer splits by a regular expression that is not known: '(a+)+$'"
    ),
    (
      #"{"type":"Split","pattern":{"Regex":"\\p{N}"},"behavior":"Removed","invert":false}"#,
      "a Split pre_tokenizer with behavior 'Removed' is not supported; Isolated is"
    ),
    (
      #"{"type":"Digits","individual_digits":true}"#,
      "the pre_tokenizer does not end with ByteLevel; only byte-level BPE is supported"
    ),
    ("null", "the file has no pre_tokenizer; ByteLevel or BertPreTokenizer is needed"),
    (
      #"{"type":"BertPreTokenizer"}"#, "the model BPE does not go with this pre_tokenizer"
    ),
  ]) func preTokenizersAreRefused(pre: String, sentence: String) {
    #expect(refusal(minimal(pre: pre)) == sentence)
  }

  @Test(arguments: [
    (
      #","normalizer":{"type":"Replace"}"#,
      "the normalizer 'Replace' is not supported; NFC and BertNormalizer are"
    ),
    (
      #","post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}]}"#,
      "the post-processor names the token '<s>', which the vocabulary lacks"
    ),
    (
      #","post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],"special_tokens":{"<s>":{"ids":[9]}}}"#,
      "the post-processor adds the id 9, which is no token"
    ),
    (
      #","post_processor":{"type":"TemplateProcessing","single":[]}"#,
      "the template of the post-processor has no place for the text"
    ),
    (
      #","added_tokens":[{"id":2,"content":"<s>"}]"#,
      "two tokens have the id 2: 'c' and '<s>'; the file is broken, fetch it again"
    ),
    (
      #","added_tokens":[{"id":4294967296,"content":"<s>"}]"#,
      "the id of the added token '<s>' must be a whole number below 16777216"
    ),
    (#","added_tokens":7"#, "added_tokens must be a list"),
    (#","model":7"#, "the file has no model"),
    ("} x", "the file is not JSON at byte 154: text after the value"),
  ]) func otherPartsAreRefused(rest: String, sentence: String) {
    #expect(refusal(minimal(rest: rest)) == sentence)
  }

  @Test func anAddedTokenMustNotBeLong() {
    let text = String(repeating: "x", count: 600)
    #expect(
      refusal(minimal(rest: #","added_tokens":[{"id":9,"content":"\#(text)"}]"#))
        == "the added token '\(text.prefix(80))…' has 600 bytes; at most 512 are supported")
  }

  /// DeepSeek's files ask for the BOS in tokenizer_config.json alone.
  @Test func theBOSMayStandInTheConfigOnly() throws {
    let file = minimal(rest: #","added_tokens":[{"id":9,"content":"<s>","special":true}]"#)
    func config(_ bos: String) throws -> JSONValue {
      try JSONValue(#"{"tokenizer_class":"LlamaTokenizerFast","add_bos_token":true,\#(bos)}"#)
    }
    for bos in [#""bos_token":"<s>""#, #""bos_token":{"content":"<s>"}"#] {
      let tokenizer = try Tokenizer(huggingFace: file, config: config(bos))
      #expect(tokenizer.encode("ab", addSpecial: true, parseSpecial: false) == [9, 3])
      #expect(tokenizer.encode("ab", addSpecial: false, parseSpecial: false) == [3])
      #expect(tokenizer.vocabularySize == 10)
    }
    #expect(
      refusal(file, config: try config(#""bos_token":"<x>""#))
        == "tokenizer_config.json asks for a BOS, but its bos_token '<x>' is no token")
    #expect(
      refusal(file, config: try config(#""x":1"#))
        == "tokenizer_config.json asks for a BOS, but its bos_token is missing")
  }

  /// Files with single bytes changed, cut short or doubled: refused or taken, never a crash. Texts
  /// go through those that are taken.
  @Test(arguments: UInt64(0)..<12) func brokenFilesDoNotCrash(seed: UInt64) throws {
    var random = TestRandom(state: seed)
    let family = ["flags", "bert", "llama3"][Int(seed % 3)]
    let file = try golden(family + ".tokenizer.json")
    for _ in 0..<2 {
      var broken = file
      switch Int.random(in: 0..<3, using: &random) {
      case 0: broken.removeLast(Int.random(in: 1..<file.count, using: &random))
      case 1:
        let place = Int.random(in: 0..<file.count, using: &random)
        broken.insert(contentsOf: file[place..<min(place + 40, file.count)], at: place)
      default:
        for _ in 0..<3 {
          broken[Int.random(in: 0..<file.count, using: &random)] = UInt8.random(
            in: 0...255, using: &random)
        }
      }
      guard let tokenizer = try? Tokenizer(huggingFace: broken, config: nil) else { continue }
      _ = tokenizer.encode("The  wörld's 123 <both> [CLS]", addSpecial: true, parseSpecial: true)
    }
  }
}
