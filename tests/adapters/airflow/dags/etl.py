"""A DAG with all that an Airflow run can show: retries, mapped tasks, nested groups, a failure and
what it keeps from running, a skip, a deferral, and dbt in a task if there is a project for it."""

import datetime
import os

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

SOON = datetime.timedelta(seconds=0)


class Wait(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(datetime.timedelta(seconds=2)), method_name="resume")

    def resume(self, context, event=None):
        return "waited"


@task
def extract():
    return [1, 2, 3]


@task(retries=1, retry_delay=SOON)
def transform(number):
    context = get_current_context()
    if number == 2 and context["ti"].try_number == 1:
        raise ValueError("the first try fails")
    return number


@task
def broken():
    raise RuntimeError("broken for good")


@task
def choose():
    raise AirflowSkipException("nothing to do")


@task
def to_db(numbers):
    return len(list(numbers))


@task
def check(name):
    return name


@task(trigger_rule="all_done")
def notify():
    return "told"


@task
def after():
    return "never"


@dag(dag_id="etl", schedule="@once", start_date=datetime.datetime(2026, 1, 1), tags=["demo"])
def etl():
    numbers = transform.expand(number=extract())

    @task_group
    def load():
        stored = to_db(numbers)
        bad = broken()

        @task_group(group_id="check")
        def checks():
            stored >> check.override(task_id="a")("a") >> check.override(task_id="b")("b")

        checks()
        return bad

    loaded = load()
    loaded >> [after(), notify()]
    Wait(task_id="wait") >> choose() >> EmptyOperator(task_id="nothing")
    if "DBT_PROJECT" in os.environ:
        macros = "macros.OpenLineageProviderPlugin"
        BashOperator(
            task_id="dbt",
            bash_command="cd $DBT_PROJECT && dbt-ol --consume-structured-logs build",
            append_env=True,
            env={
                "OPENLINEAGE_PARENT_ID": f"{{{{ {macros}.lineage_parent_id(task_instance) }}}}",
                "OPENLINEAGE_ROOT_PARENT_ID": (
                    f"{{{{ {macros}.lineage_root_parent_id(task_instance) }}}}"
                ),
            },
        )


etl()
