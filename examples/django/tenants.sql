-- Some tenants, and the country that the orders of traffic.py go to.
INSERT INTO public.shop_country VALUES ('AT', 'Austria');
INSERT INTO public.shop_tenant (name) SELECT 'tenant ' || g FROM generate_series(1, 6) g;
