"""The openai client against a worker with a tiny random model, through a front door.

Prints a line for each thing that worked; ends with a traceback at the first that did not.
"""

import sys

import openai


def main(base_url):
    client = openai.OpenAI(base_url=base_url, api_key="none", timeout=60, max_retries=0)
    messages = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "hello <|im_end|>"},
    ]

    models = [model.id for model in client.models.list()]
    assert models == ["tiny"], models
    print("models")

    asked = dict(model="tiny", messages=messages, max_completion_tokens=12, seed=3)
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=3)
    choice = whole.choices[0]
    assert choice.message.role == "assistant" and choice.finish_reason in ("stop", "length"), whole
    assert whole.usage.completion_tokens <= 12 and whole.usage.prompt_tokens > 10, whole
    assert len(choice.logprobs.content) == whole.usage.completion_tokens, whole
    assert len(choice.logprobs.content[0].top_logprobs) == 3, whole
    print("chat")

    pieces, reasons, usage = [], [], None
    stream = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    for event in stream:
        usage = event.usage or usage
        for part in event.choices:
            if part.delta.content:
                pieces.append(part.delta.content)
            if part.finish_reason:
                reasons.append(part.finish_reason)
    assert "".join(pieces) == choice.message.content, (pieces, choice)
    assert reasons == [choice.finish_reason], reasons
    assert usage == whole.usage or usage.total_tokens == whole.usage.total_tokens, usage
    print("streamed")

    several = client.chat.completions.create(**asked, n=3)
    assert [part.index for part in several.choices] == [0, 1, 2], several
    assert several.choices[0].message.content == choice.message.content, several
    print("choices")

    # A client that has heard enough leaves in the middle.
    with client.chat.completions.create(**asked, stream=True) as stream:
        next(iter(stream))
    print("left early")

    completion = client.completions.create(
        model="tiny", prompt=["hello", "world"], max_tokens=3, logprobs=2, echo=False
    )
    assert [part.index for part in completion.choices] == [0, 1], completion
    assert len(completion.choices[0].logprobs.tokens) <= 3, completion
    print("completions")

    try:
        client.chat.completions.create(model="huge", messages=messages)
        raise AssertionError("an unknown model was served")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found" and error.param == "model", error.body
    try:
        client.chat.completions.create(model="tiny", messages=messages, temperature=9)
        raise AssertionError("a temperature of 9 was taken")
    except openai.BadRequestError as error:
        assert error.param == "temperature", error.body
    try:
        client.embeddings.create(model="tiny", input="hello")
        raise AssertionError("embeddings of a model that makes texts")
    except openai.NotFoundError as error:
        assert "There is no /v1/embeddings here" in error.message, error.body
    print("refused")


main(sys.argv[1])
