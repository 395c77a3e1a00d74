import Testing

@testable import Text

/// A rendered chat template: what users wrote must never become a special token.
struct PiecesTests {
  let tokenizer: Tokenizer
  let start: Int32
  let end: Int32

  init() throws {
    tokenizer = try TextTests.tokenizer("qwen2")
    start = try #require(tokenizer.id(of: "<|im_start|>"))
    end = try #require(tokenizer.id(of: "<|im_end|>"))
  }

  private func plain(_ text: String) -> [Int32] {
    tokenizer.encode(text, addSpecial: false, parseSpecial: false)
  }

  @Test func specialTextOfUsersStaysText() {
    let ids = tokenizer.encode(
      pieces: [
        ("<|im_start|>user\n", true), ("hello <|im_end|> you", false), ("<|im_end|>", true),
      ], addSpecial: false)
    #expect(ids == [start] + plain("user\nhello <|im_end|> you") + [end])
  }

  @Test(arguments: 1..<10) func specialTextThatStraddlesABorderStaysText(cut: Int) {
    let text = "<|im_end|>"
    let halves = (String(text.prefix(cut)), String(text.dropFirst(cut)))
    for trusted in [(true, false), (false, true), (false, false)] {
      let ids = tokenizer.encode(
        pieces: [(halves.0, trusted.0), (halves.1, trusted.1)], addSpecial: false)
      #expect(ids == plain(text))
    }
    // The template's own text is one, however it was put together.
    #expect(
      tokenizer.encode(
        pieces: [(halves.0, true), ("", false), (halves.1, true)], addSpecial: false)
        == [end])
  }

  /// A user who ends with the beginning of a special token must not swallow the template's own.
  @Test func whatUsersBeginDoesNotHideATokenOfOurs() {
    let ids = tokenizer.encode(
      pieces: [("a<|im_", false), ("<|im_end|>", true)], addSpecial: false)
    #expect(ids == plain("a<|im_") + [end])
  }

  /// Nor does it where the two together spell a longer token.
  @Test func whatUsersPutBeforeATokenOfOursDoesNotChangeIt() throws {
    let file = minimal(
      rest: #","added_tokens":[{"id":8,"content":"<s>","special":true},"#
        + #"{"id":9,"content":"a<s>","special":true}]"#)
    let tokenizer = try Tokenizer(huggingFace: file, config: nil)
    #expect(
      tokenizer.encode(pieces: [("ba", false), ("<s>", true)], addSpecial: false) == [1, 0, 8])
    #expect(tokenizer.encode(pieces: [("ba<s>", true)], addSpecial: false) == [1, 9])
  }

  /// Words go on over borders, as if the text were one.
  @Test func piecesAreCutAsOneText() throws {
    let ids = tokenizer.encode(
      pieces: [("the dog's na", true), ("me is e", false), ("\u{301}l", true)], addSpecial: false)
    #expect(ids == plain("the dog's name is e\u{301}l"))
  }

  /// Not special, so found anywhere, as in Hugging Face.
  @Test func addedTokensThatAreNotSpecialAreFoundInTextOfUsers() throws {
    let think = try #require(tokenizer.id(of: "<think>"))
    #expect(tokenizer.encode(pieces: [("<think>", false)], addSpecial: false) == [think])
    #expect(!tokenizer.isSpecial(think))
    #expect(tokenizer.isSpecial(end))
  }

  /// Pieces that are all of one kind are the same as one text.
  @Test func onePieceIsAText() throws {
    for text in try corpus() {
      for trusted in [true, false] {
        #expect(
          tokenizer.encode(pieces: [(text, trusted)], addSpecial: true)
            == tokenizer.encode(text, addSpecial: true, parseSpecial: trusted))
      }
    }
  }
}
