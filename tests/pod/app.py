"""An app with OpenAI's SDK, as it is written without a thought of sidecars; runs inside the pod.

``settings.json`` beside it: ``callers`` (how many ask at once), ``prompt_bytes``, ``after`` (how
many calls it makes yet when it is told to stop, besides those under way). One line of JSON a call:
``{"model", "text"}``, ``{"error"}``; and ``{"last": …}`` before it ends.
"""

import asyncio
import json
import pathlib
import signal

import openai
from openai.types.chat import ChatCompletionUserMessageParam

HERE = pathlib.Path(__file__).parent
SETTINGS = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))


PROMPT: ChatCompletionUserMessageParam = {
    "role": "user",
    "content": "x" * SETTINGS["prompt_bytes"],
}


def tell(**what: object) -> None:
    """Say a line."""
    print(json.dumps(what), flush=True)  # noqa: T201 - its log is its only voice


async def ask(client: openai.AsyncOpenAI, number: int) -> None:
    """Ask once, every other time for a stream."""
    try:
        if number % 2:
            answer = await client.chat.completions.create(model="chat", messages=[PROMPT])
            tell(model=answer.model, text=answer.choices[0].message.content)
            return
        text, model, reason = "", "", None
        stream = await client.chat.completions.create(model="chat", messages=[PROMPT], stream=True)
        async for chunk in stream:
            model = chunk.model
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
        tell(**({"model": model, "text": text} if reason else {"error": "a stream was cut"}))
    except openai.OpenAIError as error:
        tell(error=repr(error)[:500])


async def main() -> None:
    """Ask until SIGTERM, finish, ask some more, and end."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    client = openai.AsyncOpenAI(api_key="the sidecar has it", max_retries=8)

    async def caller(number: int) -> None:
        while not stopping.is_set():
            await ask(client, number)
            number += 1

    async with asyncio.TaskGroup() as group:
        for number in range(SETTINGS["callers"]):
            group.create_task(caller(number))
    for number in range(SETTINGS["after"]):
        await ask(client, number)
    tell(last="all is done")


asyncio.run(main())
