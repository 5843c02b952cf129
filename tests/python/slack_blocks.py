"""slack_blocks.py FILE: holds a message to Slack's own block models and to what Slack's documentation says besides.

Prints the text of all blocks, a line each. Ends with a traceback where Slack would answer `invalid_blocks`.
"""

import json
import sys

from slack_sdk.models.blocks import Block

# https://docs.slack.dev/reference/block-kit/blocks, https://docs.slack.dev/messaging/formatting-message-text
BLOCKS, TEXT, TEXT_OBJECT = 50, 4000, 3000


def texts(node):
    """Every text object and element of rich text inside."""
    if isinstance(node, dict):
        if node.get("type") in ("mrkdwn", "plain_text", "text", "link"):
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from texts(child)


with open(sys.argv[1], encoding="utf-8") as file:
    message = json.load(file)
assert set(message) <= {"text", "blocks", "attachments", "unfurl_links", "unfurl_media", "mrkdwn"}, sorted(message)
assert 0 < len(message["text"]) <= TEXT, "text is what notifications show"
every = message["blocks"] + [b for a in message.get("attachments", []) for b in a.get("blocks", [])]
assert 0 < len(every) <= BLOCKS
blocks = Block.parse_all(every)
assert len(blocks) == len(every) and None not in blocks, "a type of block that Slack does not have"
for block, original in zip(blocks, every):
    assert type(block) is not Block, f"{original['type']}: a type of block that Slack does not have"
    block.validate_json()
    assert block.to_dict() == original, f"Slack's model drops a part of {original}"
    for text in texts(original):
        words = text.get("text") or text["url"]
        assert 0 < len(words) <= TEXT_OBJECT, f"{len(words)} characters of text"
        print(words)
