"""Leave jobs of version 2 in a data folder. Run with the package of commit 5670b70 on the path."""
import asyncio, os, sys, json, signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
sys.path.insert(0, "/tmp/w/v2")
from tests.support import factory
from tests.support.factory import service
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.jobs.records import JobSpec, BATCH
from ziggie_image_mcp.provider.testing import FakeProvider, FakePaidProvider, model, ALL_FEATURES
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.request import ImageRequest
import ziggie_image_mcp
assert ziggie_image_mcp.__file__.startswith("/tmp/w/v2"), ziggie_image_mcp.__file__
folder = Path(sys.argv[1]); folder.mkdir(parents=True, exist_ok=True)
CONFIG = {"allowPaidFallback": "withinBudget", "budget": {"perDay": 10}}
class Down(FakeProvider): pass
def free(answers=()):
    models=[model("free","m",seconds=1.0),]
    return FakeProvider("free", models=models, answers=answers)
def paid(): return FakePaidProvider("paid", price=40_000, price_by_pixels=((1024*1024, 40_000),), price_of_given_micro_usd=500)
def jid(n): return "job-e3b0c442-" + f"{n:032x}"
async def spec(s, n, request, **more):
    ctx = await s._snapshots.take(request)
    from ziggie_image_mcp.jobs.executor import worth_trying
    plan = planner.plan(ctx)
    return JobSpec(id=jid(n), requests=(request,), constraints=constraints_of(s.config), accepted=datetime.now(UTC),
                   routes=worth_trying(plan), **more)
async def main(step):
    if step == "ended":
        s = service(folder, free(), paid(), role=Role.SERVER, **CONFIG)
        for n, request in ((1, ImageRequest(prompt="a done cat", seed=7, width=64, height=64)), (2, ImageRequest(prompt="a paid cat", provider="paid", width=64, height=64, seed=7))):
            one = await spec(s, n, request)
            await s.scheduler.submit(one)
            v = await s.job(jid(n), 20)
            assert v.status == "done", v
        await factory.close_services()
        from ziggie_image_mcp.errors import RateLimited
        s = service(folder, free([RateLimited("free","slow down",30.0)]*3), role=Role.SERVER, deadline=30, **CONFIG)
        one = await spec(s, 3, ImageRequest(prompt="a failed cat", width=64, height=64), deadline=datetime.now(UTC)+timedelta(seconds=20))
        await s.scheduler.submit(one)
        v = await s.job(jid(3), 20); print(v.status, v.outcome.failures)
        await factory.close_services()
    if step == "queued":
        s = service(folder, free(), paid(), role=Role.ALONE, **CONFIG)
        one = await spec(s, 4, ImageRequest(prompt="a queued cat", width=64, height=64, provider="free"), priority=BATCH)
        await s.scheduler.submit(one, at=datetime.now(UTC)+timedelta(seconds=40))
        one = await spec(s, 5, ImageRequest(prompt="a queued paid cat", width=64, height=64, provider="paid"), priority=BATCH)
        await s.scheduler.submit(one, at=datetime.now(UTC)+timedelta(seconds=40))
        await factory.close_services()
    if step == "killed":
        s = service(folder, free([None]), paid(), role=Role.SERVER, **CONFIG)
        one = await spec(s, 6, ImageRequest(prompt="a killed cat", width=64, height=64, seed=9, provider="free"))
        await s.scheduler.submit(one)
        for _ in range(200):
            await asyncio.sleep(0.05)
            if "choose-0" in await s.scheduler._workflow.steps(jid(6)): break
        await asyncio.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main(sys.argv[2]))
