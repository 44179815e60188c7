"""Health and reflection, answered by the proxy on the port of the server's own services."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2  # noqa: F401  its descriptor is compared below
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from tests.edge.conftest import ask

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
SERVICE = "tensorflow.serving.PredictionService"


def watch(channel, service: str):
    """What the health service says of `service`, as it changes."""
    return health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(service=service), timeout=20
    )


async def until(watching, wanted: int) -> None:
    while (await watching.read()).status != wanted:
        pass


async def check(channel, service: str) -> int:
    return (
        await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=10
        )
    ).status


async def test_the_process_is_healthy_though_the_server_is_away(start_proxy, connect, serving):
    await serving.stop()
    channel = connect(await start_proxy())
    assert await check(channel, "") == SERVING
    assert await check(channel, SERVICE) == NOT_SERVING
    await serving.start()


async def test_the_service_follows_the_server(start_proxy, connect, serving):
    channel = connect(await start_proxy())
    watching = watch(channel, SERVICE)
    await until(watching, SERVING)
    await serving.stop()
    await until(watching, NOT_SERVING)
    await serving.start()
    await until(watching, SERVING)


SERVER_NAMES = [
    *("PredictionService", "ModelService"),
    *("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"),
]


async def statuses(channel) -> dict[str, int]:
    """What List says."""
    answer = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest(), timeout=10)
    return {name: each.status for name, each in answer.statuses.items()}


@pytest.mark.parametrize("name", SERVER_NAMES)
async def test_each_name_of_the_server_s_services_follows_the_server(start_proxy, connect, serving, name):
    channel = connect(await start_proxy())
    watching = watch(channel, name)
    await until(watching, SERVING)
    assert await check(channel, name) == SERVING
    await serving.stop()
    await until(watching, NOT_SERVING)
    assert await check(channel, name) == NOT_SERVING
    await serving.start()


async def test_a_list_has_every_name_with_what_a_check_says_of_it(start_proxy, connect, serving):
    channel = connect(await start_proxy("--model", "m", "--model", "late", "--poll-seconds", "0.05"))
    await until(watch(channel, "model/m"), SERVING)
    listed = await statuses(channel)
    assert listed == {
        "": SERVING,
        "model/m": SERVING,
        "model/late": NOT_SERVING,
        **dict.fromkeys(SERVER_NAMES, NOT_SERVING),
    }
    assert listed == {name: await check(channel, name) for name in listed}


async def test_the_service_waits_for_the_expected_models(start_proxy, connect, serving):
    channel = connect(await start_proxy("--model", "m", "--model", "late", "--poll-seconds", "0.05"))
    service, late = watch(channel, SERVICE), watch(channel, "model/late")
    await until(watch(channel, "model/m"), SERVING)
    await until(late, NOT_SERVING)
    assert await check(channel, SERVICE) == NOT_SERVING
    serving.load("late")
    await until(late, SERVING)
    await until(service, SERVING)


async def test_a_model_that_is_unloaded_is_not_healthy(start_proxy, connect, serving):
    channel = connect(await start_proxy("--model", "m", "--poll-seconds", "0.05"))
    model = watch(channel, "model/m")
    await until(model, SERVING)
    serving.models["m"][1].state = "END"
    await until(model, NOT_SERVING)


async def test_a_second_watcher_hears_changes_after_the_first_has_left(start_proxy, connect, serving):
    proxy = await start_proxy()
    first, second = watch(connect(proxy), SERVICE), watch(connect(proxy), SERVICE)
    await until(first, SERVING)
    await until(second, SERVING)
    first.cancel()
    await serving.stop()
    await until(second, NOT_SERVING)
    await serving.start()


@pytest.mark.parametrize("name", ["nobody", "predictionservice", "serving.ModelService", "model/m/"])
async def test_an_unknown_service_is_not_found(start_proxy, connect, name):
    channel = connect(await start_proxy())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(channel, name)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "Health/List" in caught.value.details()
    assert (await watch(channel, name).read()).status == SERVICE_UNKNOWN
    assert name not in await statuses(channel)


async def test_watchers_hear_of_the_drain_and_do_not_delay_it(start_proxy, connect):
    proxy = await start_proxy("--drain-seconds", "0.3")
    watching = watch(connect(proxy), "")
    assert (await watching.read()).status == SERVING
    stopping = asyncio.create_task(asyncio.to_thread(proxy.stop))
    assert (await watching.read()).status == NOT_SERVING
    assert await asyncio.wait_for(stopping, 5) == 0


async def reflect(channel, version: str, **question) -> reflection_pb2.ServerReflectionResponse:
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=10)
    return await anext(aiter(call))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_every_service_on_the_port(start_proxy, connect, version):
    answer = await reflect(connect(await start_proxy()), version, list_services="")
    assert {service.name for service in answer.list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    }


@pytest.mark.parametrize(
    "name", ["tensorflow.serving.PredictionService", "google.rpc.BadRequest", "google.rpc.ErrorInfo"]
)
async def test_reflection_describes_services_and_the_details_of_refusals(start_proxy, connect, name):
    answer = await reflect(connect(await start_proxy()), "v1", file_containing_symbol=name)
    assert answer.file_descriptor_response.file_descriptor_proto


async def test_reflection_can_be_switched_off(start_proxy, connect):
    channel = connect(await start_proxy("--no-reflection"))
    question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    answer = await ask(channel, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", question)
    assert answer.code is grpc.StatusCode.UNIMPLEMENTED  # the fake server's word
