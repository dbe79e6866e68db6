"""Addresses."""

from django.urls import path

from shop import views

urlpatterns = [
    path("t/<int:tenant>/orders", views.place),
    path("t/<int:tenant>/orders/<int:number>", views.order),
    path("t/<int:tenant>/summary", views.summary),
]
