import Text
import WorkerAPI

/// The model as requests see it: its name, its limits, and how it reads texts.
package struct EmbedModel: Sendable {
  package let name: String
  /// Seconds since 1970.
  package let created: Int64
  /// Floats of a vector.
  package let size: Int
  /// Tokens of a text, with those that stand around it; what is longer is cut.
  package let tokenLimit: Int
  /// Tokens that the model knows. Count.
  package let vocabulary: Int
  /// Vectors have length 1, those that are cut to fewer dimensions too.
  package let isNormalised: Bool
  private let tokenizer: Tokenizer

  /// Why model and tokenizer do not fit, as a sentence for the operator.
  package struct Complaint: Error, Equatable, CustomStringConvertible {
    package let description: String
  }

  var listing: ModelListing {
    ModelListing(name: name, created: created, contextLimit: tokenLimit)
  }

  package init(
    name: String, created: Int64, size: Int, tokenLimit: Int, vocabulary: Int,
    isNormalised: Bool, tokenizer: Tokenizer
  ) throws(Complaint) {
    let frame = tokenizer.specialPrefix.count + tokenizer.specialSuffix.count
    guard tokenizer.vocabularySize <= vocabulary else {
      throw Complaint(
        description: "\(name): its tokenizer has \(tokenizer.vocabularySize) tokens, but the model "
          + "only \(vocabulary); the files are not of one model")
    }
    guard frame > 0, tokenLimit > frame else {
      throw Complaint(
        description: "\(name): texts of \(tokenLimit) tokens, \(frame) of them around the text, "
          + "cannot be embedded; look at max_seq_length and the tokenizer's post_processor")
    }
    self.name = name
    self.created = created
    self.size = size
    self.tokenLimit = tokenLimit
    self.vocabulary = vocabulary
    self.isNormalised = isNormalised
    self.tokenizer = tokenizer
  }

  /// Tokens of a text as sentence-transformers has them: a text that is too long loses its end, but
  /// not the tokens around it, and what spells a special token is that token.
  func encode(_ text: String) -> [Int32] {
    let whole = tokenizer.encode(text, addSpecial: true, parseSpecial: true)
    guard whole.count > tokenLimit else { return whole }
    let suffix = tokenizer.specialSuffix
    return whole.prefix(tokenLimit - suffix.count) + suffix
  }
}
