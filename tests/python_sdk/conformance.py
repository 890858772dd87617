"""Uses the simulator through the platform's own SDK. Arguments: host, port, id of the integration."""

import datetime
import sys
import time

import PureCloudPlatformClientV2 as sdk
from PureCloudPlatformClientV2.rest import ApiException

host, port, integration = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def connected(client_id="simulator", secret="simulator"):
    client = sdk.api_client.ApiClient()
    client.set_gateway(host, "http", port, "login", "api")
    return client.get_client_credentials_token(client_id, secret)


def refused(status, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except ApiException as error:
        assert error.status == status, (error.status, error.body)
        return error
    raise AssertionError(f"{call.__name__} was not refused")


def check(what, is_so):
    assert is_so, what
    print("ok", what)


def log_in():
    api = connected()
    check("a token is given", len(api.access_token) > 20)
    try:
        connected("simulator", "wrong")
    except Exception as error:
        check("a wrong secret is refused", "invalid_client" in str(getattr(error, "body", error)))
    else:
        raise AssertionError("a wrong secret was taken")
    return api


def notifications(api, queues):
    service = sdk.NotificationsApi(api)
    channel = service.post_notifications_channels()
    check("a channel has a URI", channel.connect_uri.startswith("ws://") and channel.id in channel.connect_uri)
    left = channel.expires - datetime.datetime.now(datetime.timezone.utc)
    check("a channel lives a day", datetime.timedelta(hours=23) < left <= datetime.timedelta(hours=24))
    topics = [sdk.ChannelTopic() for _ in queues]
    for topic, queue in zip(topics, queues):
        topic.id = f"v2.routing.queues.{queue.id}.conversations"
    given = service.put_notifications_channel_subscriptions(channel.id, topics)
    check("topics are permitted", [it.state for it in given.entities] == ["Permitted"] * len(topics))
    extra = sdk.ChannelTopic()
    extra.id = "v2.users.someone?presence&routingStatus"
    service.post_notifications_channel_subscriptions(channel.id, [extra])
    listed = service.get_notifications_channel_subscriptions(channel.id)
    check("topics are listed", [it.id for it in listed.entities] == [it.id for it in topics] + [extra.id])
    unknown = sdk.ChannelTopic()
    unknown.id = "v2.nothing.of.the.kind"
    error = refused(400, service.post_notifications_channel_subscriptions, channel.id, [unknown])
    check("an unknown topic is refused", "invalid.value" in error.body)
    ignored = service.post_notifications_channel_subscriptions(channel.id, [unknown], ignore_errors=True)
    check("or rejected", ignored.entities[0].state == "Rejected" and ignored.entities[0].rejection_reason)
    service.head_notifications_channel(channel.id)
    refused(404, service.head_notifications_channel, "no-such-channel")
    channels = service.get_notifications_channels()
    check("channels are listed", [it.id for it in channels.entities] == [channel.id])
    available = service.get_notifications_availabletopics(expand=["requiresPermissions", "transports"])
    check("topics can be asked for", any(it.requires_permissions for it in available.entities))
    service.delete_notifications_channel_subscriptions(channel.id)
    check("topics are deleted", not service.get_notifications_channel_subscriptions(channel.id).entities)


def directory(api):
    users = sdk.UsersApi(api).get_users(page_size=10)
    check("users come in pages", len(users.entities) == 10 and users.total == 40 and users.page_count == 4)
    check("a user has a name", users.entities[0].name and users.entities[0].email)
    queues = sdk.RoutingApi(api).get_routing_queues(page_size=100)
    check("queues are there", len(queues.entities) == 8)
    limits = sdk.OrganizationApi(api).get_organizations_limits_namespace("platform.api")
    check("limits can be asked for", limits is not None)
    return queues.entities


def records(api):
    service = sdk.AnalyticsApi(api)
    query = sdk.ConversationQuery()
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    query.interval = f"{(now - day).isoformat()}/{(now + day).isoformat()}"
    for _ in range(200):
        found = service.post_analytics_conversations_details_query(query)
        if found.total_hits and any(it.participants and len(it.participants) > 2 for it in found.conversations):
            break
        time.sleep(0.1)
    record = next(it for it in found.conversations if len(it.participants) > 2)
    session = record.participants[0].sessions[0]
    check("a record has sessions", session.session_id and session.media_type in ("voice", "message", "email", "callback"))
    check("and segments", record.conversation_start and session.segments[0].segment_type)
    job = service.post_analytics_conversations_details_jobs(query)
    status = service.get_analytics_conversations_details_job(job.job_id)
    check("a job is queued", status.state in ("QUEUED", "PENDING") and status.submission_date)
    date = service.get_analytics_conversations_details_jobs_availability()
    check("data lags behind", date.data_availability_date < now)
    return record.conversation_id


def conversations(api, known):
    service = sdk.ConversationsApi(api)
    read = service.get_conversation(known)
    check("a conversation is read", read.id == known and read.start_time and read.participants)
    one = read.participants[0]
    lists = [it for it in (one.calls, one.messages, one.emails, one.callbacks) if it]
    check("its customer communicates", one.purpose == "customer" and lists and lists[0][0].state)
    check("segments are there", lists[0][0].segments is not None)
    error = refused(404, service.get_conversation, "00000000-0000-4000-8000-000000000000")
    check("another one is not found", "not.found" in error.body)


def inbound(sender, text):
    message = sdk.OpenInboundNormalizedMessage()
    message.channel = sdk.OpenInboundMessageMessagingChannel()
    message.channel.message_id = "mw-1"
    message.channel.time = datetime.datetime.now(datetime.timezone.utc)
    origin = sdk.OpenInboundMessagingFromRecipient() if hasattr(sdk, "OpenInboundMessagingFromRecipient") else sdk.OpenMessagingFromRecipient()
    origin.id, origin.id_type, origin.nickname = sender, "Email", "Ada"
    setattr(message.channel, "pcFrom" if "pcFrom" in message.channel.swagger_types else "_from", origin)
    message.text = text
    return message


def messaging(api):
    service = sdk.ConversationsApi(api)
    sent = service.post_conversations_message_inbound_open_message(integration, inbound("ada@example.org", "hello"))
    check("an inbound message is taken", sent.id and sent.conversation_id and sent.text == "hello")
    check("under its own id", sent.channel.message_id == "mw-1" and sent.channel.platform == "Open")
    again = service.post_conversations_message_inbound_open_message(integration, inbound("ada@example.org", "more"))
    check("the next one joins", again.conversation_id == sent.conversation_id)
    read = service.get_conversations_message(sent.conversation_id)
    check("the conversation is a message's", read.participants[0].purpose == "customer" and read.participants[0].messages is not None or read.participants[0].state)
    refused(404, service.post_conversations_message_inbound_open_message, "elsewhere", inbound("a@example.org", "x"))
    out = sdk.SendAgentlessOutboundMessageRequest()
    out.from_address, out.to_address = integration, "bob@example.org"
    out.to_address_messenger_type, out.text_body = "open", "How are you?"
    answer = service.post_conversations_messages_agentless(out)
    check("an agentless message is sent", answer.id and answer.messenger_type == "open" and answer.timestamp)
    check("with its data", answer.message.direction == "outbound" and answer.message.status == "queued")
    receipt = sdk.OpenInboundNormalizedReceipt()
    receipt.id, receipt.status = answer.id, "Delivered"
    receipt.channel = sdk.OpenInboundReceiptMessagingChannel() if hasattr(sdk, "OpenInboundReceiptMessagingChannel") else sdk.OpenMessagingChannel()
    taken = service.post_conversations_message_inbound_open_receipt(integration, receipt)
    check("a receipt is taken", taken.status == "Delivered")


api = log_in()
queues = directory(api)
notifications(api, queues)
conversations(api, records(api))
messaging(api)
print("done")
