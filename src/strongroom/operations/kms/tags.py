"""TagResource, UntagResource and ListResourceTags."""

from msgspec.structs import replace
from typing_extensions import override

from strongroom.keys.names import merge_tags, remove_tags
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.kms.key_changes import modify
from strongroom.operations.kms.keys import KeyRequest
from strongroom.operations.paging import PageSize, page
from strongroom.operations.shapes import Empty, Limit, Marker, Response, Tag, TagKeyList, TagList
from strongroom.snapshot.active_key import ActiveKey

_PAGE = PageSize(default=50, maximum=50)


class TagResourceRequest(KeyRequest):
    """The request of TagResource."""

    tags: TagList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tags=tag_pairs(self.tags))


class UntagResourceRequest(KeyRequest):
    """The request of UntagResource."""

    tag_keys: TagKeyList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tag_keys=self.tag_keys)


class ListResourceTagsRequest(KeyRequest):
    """The request of ListResourceTags."""

    limit: Limit | None = None
    marker: Marker | None = None


class ListResourceTagsResponse(Response):
    """The response of ListResourceTags."""

    tags: list[Tag]
    truncated: bool
    next_marker: str | None = None


def tag_resource(context: Context, request: TagResourceRequest, active: ActiveKey) -> Empty:
    """Add tags to a key, or change their values."""
    added = [tag.pair for tag in request.tags]
    modify(context, active, lambda key: replace(key, tags=merge_tags(key.tags, added)))
    return Empty()


def untag_resource(context: Context, request: UntagResourceRequest, active: ActiveKey) -> Empty:
    """Remove tags from a key."""
    modify(context, active, lambda key: replace(key, tags=remove_tags(key.tags, request.tag_keys)))
    return Empty()


def list_resource_tags(
    _context: Context, request: ListResourceTagsRequest, active: ActiveKey
) -> ListResourceTagsResponse:
    """List a key's tags by their keys."""
    asked = page(f"ListResourceTags {active.key.key_id}", request.limit, request.marker, _PAGE)
    kept, marker = asked.cut([tag for tag in active.key.tags if tag[0] > asked.after], lambda tag: tag[0])
    tags = [Tag(tag_key=key, tag_value=value) for key, value in kept]
    return ListResourceTagsResponse(tags=tags, truncated=marker is not None, next_marker=marker)
