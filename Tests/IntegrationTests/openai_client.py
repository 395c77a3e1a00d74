"""The openai client against a front door: everything that a chat application does.

Prints a line for each thing that worked; ends with a traceback at the first that did not.
"""

import sys

import openai


def main(base_url):
    client = openai.OpenAI(base_url=base_url, api_key="none", timeout=60, max_retries=0)
    messages = [{"role": "user", "content": "hello"}]

    models = [model.id for model in client.models.list()]
    assert models == ["mock"], models
    print("models")

    whole = client.chat.completions.create(model="mock", messages=messages)
    text = whole.choices[0].message.content
    assert text.startswith("[m] You said: hello"), text
    assert whole.choices[0].finish_reason == "stop", whole
    assert whole.usage.total_tokens > 0, whole
    print("plain")

    pieces = []
    stream = client.chat.completions.create(
        model="mock", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    for event in stream:
        if event.choices and event.choices[0].delta.content:
            pieces.append(event.choices[0].delta.content)
    assert "".join(pieces) == text, pieces
    assert len(pieces) == 8, pieces
    print("streamed")

    # A client that has heard enough leaves in the middle.
    with client.chat.completions.create(model="mock", messages=messages, stream=True) as stream:
        next(iter(stream))
    print("left early")

    vectors = client.embeddings.create(model="mock", input=["one", "two"])
    assert len(vectors.data) == 2 and len(vectors.data[0].embedding) > 0, vectors
    print("embeddings")

    completion = client.completions.create(model="mock", prompt="hello", max_tokens=3)
    assert completion.choices[0].finish_reason == "length", completion
    print("completions")

    try:
        client.chat.completions.create(
            model="mock", messages=messages, extra_headers={"X-Mock": "status=429&retry_after=7"}
        )
        raise AssertionError("a 429 came through as a success")
    except openai.RateLimitError as error:
        assert error.response.headers["retry-after"] == "7", error.response.headers
    print("refused")


main(sys.argv[1])
